package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// await polls until ok holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came: %s", what)
		}
	}
}

func contains(path, text string) bool {
	b, err := os.ReadFile(path)
	return err == nil && strings.Contains(string(b), text)
}

// The log goes to the file that was asked for, by flag, variable or key, and to a new one of that
// name after SIGHUP.
func TestLogFile(t *testing.T) {
	for _, source := range []string{"flag", "variable", "key"} {
		t.Run(source, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "node.log")
			n := &fakeNode{shutdown: func(context.Context) error { return nil }}
			b := newBench(t, n, nil)
			var args []string
			switch source {
			case "flag":
				args = []string{"--log-file", path}
			case "variable":
				b.environ = []string{"LOG_FILE=" + path}
			case "key":
				args = []string{"--set", "logging.file=" + path}
			}
			code := make(chan int, 1)
			go func() { code <- b.execute(args) }()
			await(t, "ready", func() bool { return contains(path, `"msg":"ready"`) })
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			b.hangups <- syscall.SIGHUP
			await(t, "the new file", func() bool { return contains(path, "opened again") })
			b.signals <- syscall.SIGTERM
			if c := <-code; c != exitOK || b.out.String() != "" || b.err.String() != "" ||
				!contains(path, "asked to stop") || contains(path+".1", "asked to stop") {
				t.Errorf("exit code %d, output %q %q", c, b.out.String(), b.err.String())
			}
		})
	}
}

// A file that cannot be opened stops the start and is named.
func TestLogFileCannotBeOpened(t *testing.T) {
	b := newBench(t, nil, errors.New("must not be set up"))
	code := b.execute([]string{"--log-file", "/none/node.log"})
	if code != exitFailure || !strings.Contains(b.err.String(), "logging.file") ||
		!strings.Contains(b.err.String(), "/none/node.log") {
		t.Errorf("exit code %d, %q", code, b.err.String())
	}
}

// Lines that no later line could tell of are told on the standard error; when nobody reads that
// either, the end does not wait for it.
func TestLostLinesAreToldAtTheEnd(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	n := &fakeNode{shutdown: func(context.Context) error { return nil }}
	b := newBench(t, n, nil)
	b.stdout = full
	b.signals <- syscall.SIGTERM
	if code := b.execute(nil); code != exitOK ||
		!strings.Contains(b.err.String(), "no space left on device") {
		t.Errorf("exit code %d, %q", code, b.err.String())
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b = newBench(t, n, nil)
	b.stdout, b.stderr = full, stuck{r}
	b.signals <- syscall.SIGTERM
	if code := b.execute(nil); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	_ = w.Close() // lets the stuck writer go
}

// stuck is an output that takes nothing until its pipe's other end is closed.
type stuck struct{ r *os.File }

func (s stuck) Write(p []byte) (int, error) {
	var b [1]byte
	_, err := s.r.Read(b[:])
	return 0, err
}
