package top

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if where := os.Getenv(panicEnv); where != "" {
		panicOnTerminal(where)
	}
	goleak.VerifyTestMain(m)
}
