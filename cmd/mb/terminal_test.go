package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// screen is a terminal, and all that was written to it.
type screen struct {
	keys *os.File // what is typed
	tty  *os.File
	text buffer
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	keys, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{keys: keys, tty: tty}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&s.text, keys) // It ends with an error when the terminal is closed.
	}()
	t.Cleanup(func() {
		_, _ = tty.Close(), keys.Close() // It was only looked at.
		<-read
	})
	return s
}

func (s *screen) shows(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		eventually(t, fmt.Sprintf("%q in %q", part, s.text.String()), func() bool {
			return strings.Contains(s.text.String(), part)
		})
	}
}

// startOn runs mb with these streams.
func startOn(t *testing.T, stdin io.Reader, stdout, stderr io.Writer, args ...string) *invocation {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	i := &invocation{t: t, stop: cancel, ended: make(chan struct{})}
	go func() {
		defer close(i.ended)
		i.code = run(ctx, args, stdin, stdout, stderr)
	}()
	t.Cleanup(func() {
		cancel()
		<-i.ended
	})
	return i
}

const (
	evil  = "\x1b]0;owned\x07\u009b2J\u202e"
	tamed = `\u001b]0;owned\u0007\u009b2J\u202e`
)

// What others wrote does nothing to the terminal of any command, as text or as
// JSON; a pipe gets it as it is.
func TestTerminalIsSafe(t *testing.T) {
	intercept := func(c *clienttest.Conn, h *codec.Header, _ []byte) bool {
		if string(h.Topic) != "evil" || h.Action != codec.Request {
			return false
		}
		said := strings.NewReplacer("\x1b", `\u001b`, "\x07", `\u0007`).Replace(evil)
		c.Send("response:evil:1.0.0:"+string(h.RequestID),
			[]byte(`{"error":{"code":"X","message":"`+said+`"}}`))
		return true
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	nasty := start(t, "", "reply", "r", evil, "--name", "n"+evil)
	subscribed(t, b, "request r")
	s := newScreen(t)
	safe := func(args ...string) *invocation {
		return startOn(t, strings.NewReader(""), s.tty, s.tty, args...)
	}
	for _, sub := range []*invocation{
		safe("sub", "a", "-n", "1"), safe("sub", "a", "-n", "1", "--json"),
		safe("sub", "a", "-n", "1", "--payload-only"),
		safe("sub", "a", "-n", "1", "--format", "{payload}"),
	} {
		defer sub.wait(exitOK)
	}
	pipe := start(t, "", "sub", "a", "-n", "1")
	eventually(t, "subscribers", func() bool {
		n := 0
		for _, c := range b.Conns() {
			n += len(c.Subscriptions())
		}
		return n == 6
	})
	start(t, "", "pub", "a", evil).wait(exitOK)
	pipe.wait(exitOK).wantOut("a " + evil + "\n")
	safe("request", "r", "x").wait(exitOK)
	safe("request", "r", "x", "--json").wait(exitOK)
	safe("request", "evil", "x").wait(exitError)
	safe("request", "evil", "x", "--json").wait(exitError)
	safe("services").wait(exitOK)
	safe("services", "--json").wait(exitOK)
	safe("pub", "a"+evil, "x").wait(exitUsage)
	for _, args := range [][]string{{"log", "-n", "1"}, {"log", "-n", "1", "--json"}} {
		i := safe(args...)
		eventually(t, "line", func() bool { b.Log("error", evil); return ended(i) })
	}
	s.shows(t, "a "+tamed, tamed+"\r\n", "mb: X: "+tamed, "n"+tamed, "ERROR [test] "+tamed)
	eventually(t, "all", func() bool { return strings.Count(s.text.String(), tamed) >= 13 })
	if at := strings.IndexAny(s.text.String(), "\x1b\u009b\u202e\x07"); at >= 0 {
		t.Errorf("%q", s.text.String()[at:])
	}
	nasty.stop()
	nasty.wait(exitOK)
}

func ended(i *invocation) bool {
	select {
	case <-i.ended:
		return true
	default:
		return false
	}
}

// A command that waits for the keyboard says so.
func TestTerminalInput(t *testing.T) {
	b, got := recorder(t, nil)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"pub", "a"}, "reading from the terminal, a line for each payload"},
		{[]string{"pub", "--tsv"}, "reading from the terminal, a line TOPIC<tab>PAYLOAD"},
		{[]string{"pub", "a", "--whole"}, "reading from the terminal, all of it one payload"},
		{[]string{"pub", "a", "--file", "-"}, "reading from the terminal, a line"},
	} {
		s := newScreen(t)
		var stdout buffer
		i := startOn(t, s.tty, &stdout, s.tty, tc.args...)
		s.shows(t, tc.want)
		if _, err := s.keys.WriteString("b\tc\n\x04"); err != nil {
			t.Fatal(err)
		}
		i.wait(exitOK)
	}
	wantLines(t, got(), "a 1.0.0 b\tc", "b 1.0.0 c", "a 1.0.0 b\tc", "", "a 1.0.0 b\tc")
	s := newScreen(t)
	quiet := startOn(t, s.tty, s.tty, s.tty, "pub", "a", "--quiet")
	eventually(t, "connected", func() bool { return len(b.Conns()) == 1 })
	if _, err := s.keys.WriteString("\x04"); err != nil {
		t.Fatal(err)
	}
	quiet.wait(exitOK)
	if s.text.String() != "" {
		t.Errorf("quiet, but %q", s.text.String())
	}
	i := start(t, "x\n", "pub", "a").wait(exitOK)
	if strings.Contains(i.stderr.String(), "reading") {
		t.Errorf("from a pipe: %q", i.stderr.String())
	}
}

func TestProgress(t *testing.T) {
	for _, tc := range []struct {
		p    progress
		took time.Duration
		want string
	}{
		{progress{done: 41, all: 100_000}, 2050 * time.Millisecond, "41/100,000  20 msg/s"},
		{progress{done: 3, all: 7, size: 20, bytes: 10}, 2 * time.Second, "3/7  1.5 msg/s"},
		{progress{done: 41}, time.Second, "41  41 msg/s"},
		{progress{done: 12345, size: 20, bytes: 10, file: "a\x1b.b"}, 2 * time.Second,
			`12,345  6,173 msg/s  50 % of a\u001b.b`},
	} {
		if got := tc.p.line(tc.took); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
	var stderr buffer
	a := &app{stderr: &stderr, onTerminal: true, out: &outlet{terminal: true}}
	if a.progress(progress{}, true) != nil {
		t.Error("progress among what is printed on the same terminal")
	}
	p := a.progress(progress{all: 9}, false)
	p.sent(1)
	if stderr.String() != "" {
		t.Errorf("progress of short work: %q", stderr.String())
	}
	p.shown = time.Time{}
	p.sent(1)
	a.complain("no paper")
	p.sent(1)
	p.shown = time.Time{}
	p.sent(1)
	p.end()
	lines := regexp.MustCompile(`[\d,.]+ msg/s`).ReplaceAllString(stderr.String(), "N msg/s")
	const want = eraseLine + "2/9  N msg/s" + eraseLine + "mb: no paper\n" +
		eraseLine + "4/9  N msg/s" + eraseLine
	if lines != want {
		t.Errorf("got %q, want %q", lines, want)
	}
}
