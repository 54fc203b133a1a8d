package blackbox

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// noisy makes the node log two lines for each connection.
func noisy(t *testing.T, n *node, connections int) {
	t.Helper()
	for range connections {
		p, err := n.connect("tcp")
		if err != nil {
			t.Fatal(err)
		}
		_ = p.Close()
	}
}

// serves says that messages still go through.
func serves(t *testing.T, n *node) {
	t.Helper()
	c := n.dial(t, "tcp")
	c.subscribe("publish", "log.test")
	_ = c.peer.Close()
}

// A disk without room, or a reader that went away, costs lines and nothing else: the node serves,
// counts them, and ends well.
func TestLogOutputFails(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	_ = r.Close()
	for name, out := range map[string]*os.File{"full": full, "gone": w} {
		t.Run(name, func(t *testing.T) {
			n := launchNode(t, launch{stdout: out})
			noisy(t, n, 10)
			serves(t, n)
			eventually(t, "the lines are counted", func() bool {
				return n.counter(t, "mb_log_lines_lost_total") >= 20
			})
			n.stop()
			if !strings.Contains(n.out.String(), "log lines could not be written") {
				t.Errorf("the end does not tell: %s", n.out)
			}
		})
	}
}

// A reader that stands still costs lines, not time: they are counted, and told when it goes on.
func TestLogReaderStalls(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := launchNode(t, launch{stdout: w})
	_ = w.Close()
	eventually(t, "lines are dropped", func() bool {
		noisy(t, n, 100)
		return n.counter(t, "mb_log_lines_dropped_total") > 0
	})
	serves(t, n)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "log lines dropped: the output is too slow") {
			break
		}
	}
	if err := lines.Err(); err != nil || !strings.Contains(lines.Text(), `"count":`) {
		t.Errorf("it is never told: %v, %q", err, lines.Text())
	}
	go func() {
		for lines.Scan() {
		}
	}()
	n.stop()
}

// SIGHUP opens logging.file anew, however often, and nothing else happens.
func TestLogFileIsOpenedAgainAtHangup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.log")
	n := startNode(t, "logging.file="+path)
	for range 3 {
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the new file", func() bool {
			b, _ := os.ReadFile(path)
			return strings.Contains(string(b), "the log file is opened again")
		})
	}
	serves(t, n)
	eventually(t, "the connection's lines", func() bool {
		b, _ := os.ReadFile(path)
		return strings.Contains(string(b), `"disconnected: `)
	})
	if n.out.String() != "" {
		t.Errorf("printed %s", n.out)
	}
}
