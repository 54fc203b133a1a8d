//go:build linux

package proc

import (
	"os"
	"testing"
)

func TestNumber(t *testing.T) {
	line := []byte("123456789 55 7\n")
	if got := number(line, 0); got != 123456789 {
		t.Errorf("first: got %d", got)
	}
	if got := number(line, 1); got != 55 {
		t.Errorf("second: got %d", got)
	}
	if got := number(nil, 0); got != 0 {
		t.Errorf("nothing: got %d", got)
	}
}

func TestOwnProcess(t *testing.T) {
	if n := CPU(os.Getpid()); n <= 0 {
		t.Errorf("this process has used %d ns", n)
	}
	if n := Resident(os.Getpid()); n < 1<<20 {
		t.Errorf("this process holds %d bytes", n)
	}
}
