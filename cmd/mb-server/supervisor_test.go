package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mbserver/server"
	"mbserver/server/config"
)

// told collects what a supervisor is told.
type told struct {
	mu    sync.Mutex
	lines []string // of one message each
	err   error
}

func (l *told) tell(state string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.ReplaceAll(state, "\n", " "))
	return l.err
}

func (l *told) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// await waits until so many messages were told, for some time.
func (l *told) await(count int) {
	for end := time.Now().Add(10 * time.Second); len(l.all()) < count && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // the poll's interval
	}
}

// want holds that messages of these forms were told, in this order, and no others.
func (l *told) want(t *testing.T, forms ...string) {
	t.Helper()
	got := l.all()
	ok := len(got) == len(forms)
	for i := 0; ok && i < len(got); i++ {
		ok = regexp.MustCompile("^" + forms[i] + "$").MatchString(got[i])
	}
	if !ok {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(forms, "\n"))
	}
}

const (
	toldReady  = `READY=1 STATUS=serving ws 127\.0\.0\.1:3000, admin 127\.0\.0\.1:3002`
	toldReload = `RELOADING=1 MONOTONIC_USEC=\d+ STATUS=reading the configuration again`
	toldEnd    = `STOPPING=1 EXTEND_TIMEOUT_USEC=34000000 STATUS=draining, for 34s at most`
)

// Who started the process is told when it serves, when and how it reads its configuration again,
// when it ends, and how long that may take; a reload during the end is not told.
func TestSupervisorIsTold(t *testing.T) {
	l := &told{}
	b := newBench(t, nil, nil)
	b.supervisor.tell = l.tell
	n := &fakeNode{reloaded: []error{nil, errors.New("bad\nworse"), nil}}
	n.shutdown = func(context.Context) error {
		b.hangups <- syscall.SIGHUP
		b.hangups <- syscall.SIGHUP // taken when the first has been dealt with, or was lost
		return nil
	}
	b.newNode = func(config.Config, server.Options) (node, error) { return n, nil }
	go func() {
		l.await(1) // it serves
		b.hangups <- syscall.SIGHUP
		b.hangups <- syscall.SIGHUP
		l.await(5)
		b.signals <- syscall.SIGTERM
	}()
	if code := b.execute([]string{"--set", "shutdown.timeout=30s"}); code != exitOK {
		t.Fatalf("exit code %d, %s%s", code, b.out.String(), b.err.String())
	}
	l.want(t, toldReady,
		toldReload, `READY=1 STATUS=serving, configuration reloaded at \d\d:\d\d:\d\d`,
		toldReload, `READY=1 STATUS=serving, configuration not reloaded: bad; worse`, toldEnd)
}

// A node that cannot start says why.
func TestSupervisorIsToldOfAFailure(t *testing.T) {
	l := &told{}
	b := newBench(t, &fakeNode{startErr: errors.New("no room")}, nil)
	b.supervisor.tell = l.tell
	if code := b.execute(nil); code != exitFailure {
		t.Fatalf("exit code %d", code)
	}
	l.want(t, "STATUS=the node cannot start: no room")
}

// Signs of life come twice in the time for as long as the loops turn, and end when they do not;
// the log says that once. Without a wish for them there are none.
func TestWatchdogIsFedByTheLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &told{}
		b := newBench(t, nil, nil)
		b.supervisor.tell, b.supervisor.patience = l.tell, 10*time.Second
		began := time.Now()
		n := &fakeNode{pulse: func(ctx context.Context) error {
			if since := time.Since(began); since < 17*time.Second || since > 42*time.Second {
				return nil
			}
			<-ctx.Done()
			return errors.New("loops do not turn: [1]")
		}}
		n.shutdown = func(context.Context) error { return nil }
		b.newNode = func(config.Config, server.Options) (node, error) { return n, nil }
		time.AfterFunc(58*time.Second, func() { b.signals <- syscall.SIGTERM })
		if code := b.execute([]string{"--set", "shutdown.timeout=30s"}); code != exitOK {
			t.Fatalf("exit code %d, %s%s", code, b.out.String(), b.err.String())
		}
		fed := 0
		for _, line := range l.all() {
			if line == "WATCHDOG=1" {
				fed++
			}
		}
		if fed != 4+3 { // at 0, 5, 10, 15 and 45, 50, 55 s
			t.Errorf("fed %d times: %q", fed, l.all())
		}
		if lines := find(b.lines(t), "the watchdog is not fed"); len(lines) != 1 ||
			lines[0]["error"] != "loops do not turn: [1]" {
			t.Errorf("the log says %v", lines)
		}
	})
}

// One that cannot be told anything is complained of once.
func TestSupervisorThatIsGone(t *testing.T) {
	l := &told{err: errors.New("gone")}
	b := newBench(t, &fakeNode{shutdown: func(context.Context) error { return nil }}, nil)
	b.supervisor.tell = l.tell
	b.signals <- syscall.SIGTERM
	if code := b.execute(nil); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	const line = "the service manager cannot be told how the node fares"
	if found := find(b.lines(t), line); len(found) != 1 || len(l.all()) != 2 {
		t.Errorf("%v, told %q", found, l.all())
	}
}

// What systemd leaves in the environment is understood: where to tell, and how often.
func TestSupervisorOpens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	for _, tt := range []struct {
		socket, usec, pid string
		patience          time.Duration
		bad               bool
	}{
		{"", "", "", 0, false},
		{"", "5000000", "", 0, false}, // nobody to tell
		{path, "", "", 0, false},
		{path, "5000000", "", 5 * time.Second, false},
		{path, "5000000", "1", 0, false}, // meant for another
		{path, "soon", "", 0, true},
	} {
		t.Setenv("NOTIFY_SOCKET", tt.socket)
		t.Setenv("WATCHDOG_USEC", tt.usec)
		t.Setenv("WATCHDOG_PID", tt.pid)
		var s supervisor
		if err := s.open(); (err != nil) != tt.bad || s.patience != tt.patience {
			t.Errorf("%+v: %v, %v", tt, s.patience, err)
		}
		if (s.tell != nil) != (tt.socket != "") {
			t.Errorf("%+v: whether it is told is %v", tt, s.tell != nil)
		}
		if s.tell == nil {
			continue
		}
		s.say(nil, "READY=1", status("a %s", "b\nc"))
		buf := make([]byte, 256)
		n, err := heard.Read(buf)
		if got := string(buf[:n]); err != nil || got != "READY=1\nSTATUS=a b; c" {
			t.Errorf("%q, %v", got, err)
		}
	}
}
