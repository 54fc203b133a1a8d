package main

import (
	"strings"
	"testing"

	"mbserver/server/config"
)

// mb drain asks the node that is meant, and says what it then is, or why not.
func TestDrain(t *testing.T) {
	cfg := config.Default()
	cfg.Admin.Operator = true
	n := startNode(t, cfg)
	silent := newNode(t).Addr("admin") // takes nothing that changes it
	admin := n.Addr("admin")
	for _, row := range []struct {
		args string
		code int
		want string
	}{
		{"drain --rate -1 --admin " + admin, 2, "--rate"},
		{"drain --rate 5 --cancel --admin " + admin, 2, "--cancel"},
		{"drain now --admin " + admin, 2, "now"},
		{"drain --admin off", 2, "--admin HOST:PORT"},
		{"drain --server tcp://node.invalid:3001", 1, "node.invalid"},
		{"drain --admin 127.0.0.1:1", 1, "refused"},
		{"drain --admin " + silent, 1, "admin.operator"},
		{"drain --cancel --admin " + admin, 1, "not being drained"},
		{"drain --rate 5 --admin " + admin, 0, "draining\n"},
		{"drain --admin " + admin, 1, "draining already"},
		{"drain --cancel --json --admin " + admin, 0, `{"state":"ready"}` + "\n"},
	} {
		i := start(t, "", strings.Fields(row.args)...).wait(row.code)
		out := i.stdout.String()
		if row.code == 0 && out != row.want || !strings.Contains(out+i.stderr.String(), row.want) {
			t.Errorf("mb %s: %q, %q", row.args, out, i.stderr.String())
		}
	}
}
