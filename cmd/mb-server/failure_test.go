package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mbserver/server"
)

// Whoever sits before a terminal reads a sentence, once; a log that goes elsewhere has its line.
func TestFailuresOnATerminal(t *testing.T) {
	for _, tt := range []struct {
		stdout, stderr, sentence, line bool
	}{
		{stdout: true, stderr: true, sentence: true},
		{stderr: true, sentence: true, line: true},
		{stdout: true, line: true},
		{line: true},
	} {
		b := newBench(t, &fakeNode{startErr: errors.New("boom")}, nil)
		b.terminal = func(w io.Writer) bool {
			return w == b.stdout && tt.stdout || w == b.stderr && tt.stderr
		}
		if code := b.execute(nil); code != exitFailure {
			t.Errorf("exit code %d", code)
		}
		const sentence = "mb-server: the node cannot start: boom\n"
		if got := b.err.String() == sentence; got != tt.sentence {
			t.Errorf("%+v: standard error has %q", tt, b.err.String())
		}
		if got := strings.Contains(b.out.String(), "the node cannot start"); got != tt.line {
			t.Errorf("%+v: the log has %q", tt, b.out.String())
		}
	}
}

func TestFormatFollowsTheTerminal(t *testing.T) {
	for _, tt := range []struct {
		format   string
		terminal bool
		want     string
	}{
		{"auto", true, "text"}, {"auto", false, "json"},
		{"json", true, "json"}, {"text", false, "text"},
	} {
		b := newBench(t, nil, nil)
		b.terminal = func(w io.Writer) bool { return w == b.stdout && tt.terminal }
		if got := b.format(tt.format, b.stdout); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
}

func TestExplain(t *testing.T) {
	listen := func(transport, host string, port int, err error) error {
		return errors.Join(&server.ListenError{
			Transport: transport, Host: host, Port: port,
			Err: &net.OpError{Op: "listen", Err: err},
		}, nil)
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "plain"},
		{listen("tcp", "", 80, syscall.EACCES), "this user may not listen on port 80, " +
			"ports below 1024 are reserved; ports.tcp (--tcp-port) sets another port"},
		{listen("ws", "10.9.8.7", 3000, syscall.EADDRNOTAVAIL),
			"this machine has no address 10.9.8.7; host (--host) sets another"},
		{listen("admin", "10.9.8.7", 3002, syscall.EADDRNOTAVAIL),
			"this machine has no address 10.9.8.7; admin.address (--admin-address) sets another"},
		{listen("agent", "10.9.8.7", 3003, syscall.EADDRNOTAVAIL),
			"this machine has no address 10.9.8.7; admin.agent sets another"},
		{listen("ws", "a.example", 3000, &net.DNSError{Err: "no such host", Name: "a.example"}),
			"the name a.example has no address; host (--host) sets another"},
		{listen("ws", "::1", 3000, syscall.ENOBUFS),
			"cannot listen on [::1]:3000: listen: no buffer space available; " +
				"ports.ws (--ws-port) sets another port"},
	} {
		if got := explain(tt.err); got != tt.want {
			t.Errorf("%v:\n%s\nwant\n%s", tt.err, got, tt.want)
		}
	}
}

func TestHolder(t *testing.T) {
	all, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	port := all.Addr().(*net.TCPAddr).Port
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Base(program) + " (process "
	for _, host := range []string{"127.0.0.1", "::1", "", "localhost"} {
		if who := holder(host, port); !strings.HasPrefix(who, want) {
			t.Errorf("port %d of %q is in use by %s", port, host, who)
		}
	}
	one, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	port = one.Addr().(*net.TCPAddr).Port
	if who := holder("127.0.0.2", port); who != "another process" {
		t.Errorf("another address is in use by %s", who)
	}
}

// A hang-up ends nothing, however many come, and whenever they do.
func TestHangUpEndsNothing(t *testing.T) {
	n := &fakeNode{shutdown: func(context.Context) error { return nil }}
	b := newBench(t, n, nil)
	code := make(chan int, 1)
	go func() { code <- b.execute(nil) }()
	for range 3 {
		b.hangups <- syscall.SIGHUP
	}
	const line = "hang-up: the node goes on, its configuration is read again"
	deadline := time.Now().Add(20 * time.Second)
	for strings.Count(b.out.String(), line) < 3 { // One that comes with the end may go untold.
		if time.Now().After(deadline) {
			t.Fatalf("log: %s", b.out.String())
		}
		<-time.After(time.Millisecond)
	}
	b.signals <- syscall.SIGTERM
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
	if len(find(b.lines(t), line)) != 3 || n.reloads.Load() > 3 {
		t.Errorf("%d reloads, log: %s", n.reloads.Load(), b.out.String())
	}
}
