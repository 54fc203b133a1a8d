package server

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What .ci/fuzz makes of what Go says: short times are no failure, targets that stand still are.
func TestFuzzCounts(t *testing.T) {
	const corpus = "fuzz: elapsed: 1s, gathering baseline coverage: "
	const execs = "fuzz: elapsed: 1s, execs: "
	const failed = "\n--- FAIL: FuzzX (1.00s)\n    "
	for name, c := range map[string]struct {
		first, then string // what is said within the time, and of 100 executions
		runs        int
		fails       bool
	}{
		"enough":             {execs + "100 (1/sec), new interesting: 1", "", 1, false},
		"many, none at last": {execs + "3000 (9/sec)\n" + execs + "3000 (0/sec)", "", 1, false},
		"the corpus alone":   {corpus + "0/409 completed\n" + corpus + "279/409", "", 1, false},
		"a part of it":       {corpus + "12/409 completed", corpus + "100/409 completed", 2, false},
		"a small one":        {corpus + "3/3 completed, now", execs + "100 (9/sec)", 2, false},
		"nothing yet":        {"", execs + "101 (9/sec)", 2, false},
		"stands still":       {corpus + "1/409 completed", execs + "99 (0/sec)", 2, true},
		"not found":          {"testing: warning: no fuzz tests to fuzz", "", 2, true},
		"its time": {execs + "500 (1)" + failed + "context deadline exceeded",
			"", 1, false},
		"a failure":       {execs + "500 (1/sec)" + failed + "x_test.go:1: no", "", 1, true},
		"a failure, then": {corpus + "1/9 completed", failed + "x_test.go:1: no", 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			write("x_test.go", "func FuzzX(f *testing.F) {}\n")
			write("1s", c.first+"\n")
			write("100x", c.then+"\n")
			write("go", `#!/bin/sh
here=$(dirname "$0")
case "$*" in
list*) echo "$here" ;;
*-list*) echo FuzzX ;;
*) while [ "$1" != -fuzztime ]; do shift; done
	cat "$here/$2"
	! grep -q FAIL "$here/$2" ;;
esac
`)
			script := exec.Command("bash", "../.ci/fuzz")
			script.Env = append(os.Environ(), "GO="+filepath.Join(dir, "go"), "FUZZTIME=1s")
			out, err := script.CombinedOutput()
			runs := strings.Count(string(out), "--- fuzz ")
			if (err != nil) != c.fails || runs != c.runs {
				t.Errorf("%v after %d runs, want %d and a failure: %v\n%s",
					err, runs, c.runs, c.fails, out)
			}
		})
	}
}
