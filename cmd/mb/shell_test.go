package main

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"mbserver/client/clienttest"
)

// What writes into a pipe that nobody reads ends, as in any shell: mb's own way
// with SIGPIPE is not inherited.
func TestShellPipe(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	server := command("reply", "a", "--command", "(while :; do echo y; done) | head -n 1")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	subscribed(t, b, "request a")
	start(t, "", "request", "a", "x").wait(exitOK).wantOut("y\n")
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Error(err)
	}
}

// dead waits until the process whose ID is in the file has ended.
func dead(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := "/proc/" + strings.TrimSpace(string(text)) + "/stat"
	eventually(t, "end of the command", func() bool {
		line, err := os.ReadFile(stat)
		return err != nil || strings.Contains(string(line), ") Z ")
	})
}

func TestShellTooMuch(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	pid := t.TempDir() + "/pid"
	i := start(t, "", "reply", "a", "--timeout", "900ms", "--command",
		"trap '' PIPE TERM; sh -c 'echo $$ > "+pid+"; exec sleep 100' & yes")
	exact := start(t, "", "reply", "b", "--command", "head -c 16384 /dev/zero; echo")
	over := start(t, "", "reply", "c", "--command", "head -c 16385 /dev/zero")
	for _, name := range []string{"a", "b", "c"} {
		subscribed(t, b, "request "+name)
	}
	const want = "HANDLER_ERROR: the command prints more than fits in an answer"
	start(t, "", "request", "a", "x").wait(exitError).wantErr(want)
	dead(t, pid)
	if n := len(start(t, "", "request", "b", "x").wait(exitOK).stdout.String()); n != 16385 {
		t.Errorf("%d bytes", n)
	}
	start(t, "", "request", "c", "x").wait(exitError).wantErr(want)
	for _, r := range []*invocation{i, exact, over} {
		r.stop()
		r.wait(exitOK)
	}
}

func TestShellTimeout(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	pid := t.TempDir() + "/pid"
	i := start(t, "", "reply", "a", "--timeout", "700ms", "--command",
		"echo $$ > "+pid+"; exec sleep 100") // it has begun by then
	subscribed(t, b, "request a")
	start(t, "", "request", "a", "x").wait(exitError).wantErr("TIMEOUT", "longer than 700ms")
	dead(t, pid)
	i.stop()
	i.wait(exitOK)
}

func TestShellComplaintIsBounded(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "reply", "a", "--command",
		"yes no | head -c 100000 >&2; echo last >&2; exit 3")
	subscribed(t, b, "request a")
	said := start(t, "", "request", "a", "x").wait(exitError).wantErr("last (exit status 3)").
		stderr.String()
	if len(said) > complaintLimit+200 {
		t.Errorf("an error of %d bytes", len(said))
	}
	i.stop()
	i.wait(exitOK)
}

func TestTail(t *testing.T) {
	tail := &tail{limit: 8}
	all := ""
	for n := range 100 {
		all += strconv.Itoa(n)
		_, _ = tail.Write([]byte(strconv.Itoa(n))) // It never fails.
		if cap(tail.kept) > 64 {
			t.Fatalf("%d bytes kept", cap(tail.kept))
		}
	}
	if got, want := tail.String(), "…"+all[len(all)-8:]; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
