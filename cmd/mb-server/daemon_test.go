package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"mbserver/cmd/internal/build"
	"mbserver/server"
	"mbserver/server/config"
)

// fakeNode is a node that binds nothing.
type fakeNode struct {
	startErr error
	shutdown func(context.Context) error
	reloads  atomic.Int32
	reloaded []error                         // what the first reloads return
	pulse    func(ctx context.Context) error // nil: every loop turns
}

func (f *fakeNode) Start() error { return f.startErr }

func (f *fakeNode) Addr(transport string) string {
	return map[string]string{"ws": "127.0.0.1:3000", "admin": "127.0.0.1:3002"}[transport]
}

func (f *fakeNode) Reload(config.Loader) error {
	if i := int(f.reloads.Add(1)) - 1; i < len(f.reloaded) {
		return f.reloaded[i]
	}
	return nil
}

func (f *fakeNode) Pulse(ctx context.Context) error {
	if f.pulse == nil {
		return nil
	}
	return f.pulse(ctx)
}

func (f *fakeNode) Announce(context.Context, time.Duration) {}
func (f *fakeNode) Shutdown(ctx context.Context) error      { return f.shutdown(ctx) }

// buffer is an output that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// bench is a daemon on test doubles.
type bench struct {
	daemon
	out, err buffer
	signals  chan os.Signal
	hangups  chan os.Signal
	cfg      config.Config // what newNode was given
	options  server.Options
}

func newBench(t *testing.T, n *fakeNode, newErr error) *bench {
	t.Helper()
	procs := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(procs) })
	b := &bench{signals: make(chan os.Signal, 2), hangups: make(chan os.Signal)}
	b.daemon = daemon{
		stdout: &b.out, stderr: &b.err, signals: b.signals, hangups: b.hangups,
		terminal: func(io.Writer) bool { return false },
		newNode: func(cfg config.Config, o server.Options) (node, error) {
			b.cfg, b.options = cfg, o
			if newErr != nil {
				return nil, newErr
			}
			return n, nil
		}}
	return b
}

// lines parses the log.
func (b *bench) lines(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(b.out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, m)
	}
	return all
}

func find(lines []map[string]any, msg string) []map[string]any {
	var found []map[string]any
	for _, l := range lines {
		if l["msg"] == msg {
			found = append(found, l)
		}
	}
	return found
}

// TestMain also watches for goroutines left behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStopsOnASignal(t *testing.T) {
	drained := make(chan time.Duration, 1)
	n := &fakeNode{shutdown: func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		drained <- time.Until(deadline)
		return nil
	}}
	b := newBench(t, n, nil)
	b.signals <- syscall.SIGTERM
	code := b.execute([]string{"--set", "shutdown.timeout=30s", "--set", "loops=3"})
	if code != exitOK {
		t.Fatalf("exit code %d, %s%s", code, b.out.String(), b.err.String())
	}
	if left := <-drained; left <= 0 || left > 30*time.Second {
		t.Errorf("drained within %v", left)
	}
	lines := b.lines(t)
	if l := find(lines, "ready"); len(l) != 1 || l[0]["ws"] != "127.0.0.1:3000" ||
		l[0]["admin"] != "127.0.0.1:3002" || l[0]["tcp"] != nil ||
		l[0]["console"] != "http://127.0.0.1:3002/" {
		t.Errorf("ready: %v", l)
	}
	if l := find(lines, "asked to stop, a second signal ends it at once"); len(l) != 1 ||
		l[0]["signal"] != "terminated" || l[0]["timeoutMs"] != 30000.0 {
		t.Errorf("asked to stop: %v", l)
	}
	if b.options.Logger == nil || b.options.Logs == nil ||
		b.options.Version != build.Version || b.cfg.Loops != 3 {
		t.Errorf("options %+v, loops %d", b.options, b.cfg.Loops)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ended := make(chan struct{})
		b := newBench(t, nil, nil)
		n := &fakeNode{shutdown: func(context.Context) error {
			defer close(ended)
			b.signals <- os.Interrupt // the same wish
			time.Sleep(2 * bounce)    // what is tested: that it was not taken for a second one
			b.signals <- os.Interrupt
			<-release
			return nil
		}}
		b.newNode = func(config.Config, server.Options) (node, error) { return n, nil }
		b.signals <- os.Interrupt
		began := time.Now()
		if code := b.execute([]string{"--set", "shutdown.timeout=1h"}); code != exitFailure {
			t.Errorf("exit code %d", code)
		}
		if took := time.Since(began); took < bounce {
			t.Errorf("a signal that came at once after the first ended it, in %v", took)
		}
		if len(find(b.lines(t), "second signal: stopping at once")) != 1 {
			t.Errorf("log: %s", b.out.String())
		}
		close(release)
		<-ended
	})
}

// A node that does not come back from its end is left behind.
func TestHangingNodeIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		ended := make(chan struct{})
		n := &fakeNode{shutdown: func(context.Context) error {
			defer close(ended)
			<-release
			return nil
		}}
		b := newBench(t, n, nil)
		b.signals <- syscall.SIGTERM
		// synctest fails a bubble in which nothing happens any more.
		code := b.execute([]string{"--set", "shutdown.timeout=10ms"})
		if l := find(b.lines(t), "the node does not stop: ending it"); code != exitFailure ||
			len(l) != 1 || l[0]["level"] != "ERROR" {
			t.Errorf("exit code %d, log: %s", code, b.out.String())
		}
		close(release)
		<-ended
	})
}

func TestFailures(t *testing.T) {
	late := &fakeNode{shutdown: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
	for _, tt := range []struct {
		name   string
		node   *fakeNode
		newErr error
		msg    string
	}{
		{"set up", nil, errors.New("boom"), "the node cannot be set up"},
		{"start", &fakeNode{startErr: errors.New("address in use")}, nil, "the node cannot start"},
		{"drain", late, nil, "stopped before everything was drained"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.node, tt.newErr)
			b.signals <- syscall.SIGTERM
			if code := b.execute([]string{"--set", "shutdown.timeout=10ms"}); code != exitFailure {
				t.Errorf("exit code %d", code)
			}
			if l := find(b.lines(t), tt.msg); len(l) != 1 ||
				l[0]["error"] == nil || l[0]["level"] != "ERROR" {
				t.Errorf("log: %s", b.out.String())
			}
		})
	}
}

func TestCheckPrintsWhatIsInForce(t *testing.T) {
	b := newBench(t, nil, errors.New("must not be set up"))
	b.environ = []string{"WS_PORT=4000"}
	if code := b.execute([]string{"--check", "--tcp-port", "0"}); code != exitOK {
		t.Fatalf("exit code %d: %s", code, b.err.String())
	}
	path := filepath.Join(t.TempDir(), "printed.yaml")
	if err := os.WriteFile(path, []byte(b.out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(nil, []string{"CONFIG_PATH=" + path})
	if err != nil || cfg.Ports.WS != 4000 || cfg.Ports.TCP != 0 {
		t.Errorf("%v, %+v", err, cfg.Ports)
	}
}

func TestBadConfiguration(t *testing.T) {
	for _, tt := range []struct {
		args, environ []string
		want          string
	}{
		{args: []string{"--check", "--set", "loop=1"}, want: "did you mean loops"},
		{args: []string{"--nonsense"}, want: "--nonsense: unknown flag; mb-server --help lists"},
		{args: []string{"--port", "1"}, want: "--port: unknown flag; did you mean --ws-port?"},
		{args: []string{"-port=1"}, want: "-port: unknown flag; did you mean --ws-port?"},
		{args: []string{"--loops=2"}, want: "did you mean --set loops=…?"},
		{args: []string{"--ws-port=many"}, want: "--ws-port"},
		{args: []string{"extra"}, want: "extra"},
		{environ: []string{"TCP_PORT=99999"}, want: "TCP_PORT"},
		{environ: []string{"CONFIG_PATH=/none/mb.yaml"}, want: "/none/mb.yaml"},
	} {
		b := newBench(t, nil, errors.New("must not be set up"))
		b.environ = tt.environ
		code := b.execute(tt.args)
		if code != exitConfig || !strings.Contains(b.err.String(), tt.want) {
			t.Errorf("%q %q: exit code %d, %q", tt.args, tt.environ, code, b.err.String())
		}
		if b.out.String() != "" {
			t.Errorf("%q: stdout has %q", tt.args, b.out.String())
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	b := newBench(t, nil, nil)
	code := b.execute([]string{"--version"})
	if code != exitOK || b.out.String() != build.Line("mb-server")+"\n" {
		t.Errorf("exit code %d, %q", code, b.out.String())
	}
	b = newBench(t, nil, nil)
	if code := b.execute([]string{"--help"}); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, k := range config.Keys() {
		if k.Flag != "" && !strings.Contains(b.out.String(), "--"+k.Flag+" ") {
			t.Errorf("--%s is not in the help", k.Flag)
		}
	}
}

func TestSetProcs(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	loops := setProcs(3, []string{"A=b", "GOMAXPROCS=5"})
	if loops != 3 || runtime.GOMAXPROCS(0) != before {
		t.Errorf("%d loops, %d procs: the environment's choice did not stay",
			loops, runtime.GOMAXPROCS(0))
	}
	if loops := setProcs(3, []string{"GOMAXPROCS="}); loops != 3 || runtime.GOMAXPROCS(0) != 6 {
		t.Errorf("%d loops, %d procs", loops, runtime.GOMAXPROCS(0))
	}
	runtime.GOMAXPROCS(1)
	if loops := setProcs(0, nil); loops != 1 || runtime.GOMAXPROCS(0) != 2 {
		t.Errorf("%d loops, %d procs", loops, runtime.GOMAXPROCS(0))
	}
}

func TestTooFewDescriptorsAreSaid(t *testing.T) {
	limit, err := raiseDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := raiseDescriptors(); err != nil || again != limit {
		t.Errorf("again: %d, %v", again, err)
	}
	const connections = 10_000_000
	n := &fakeNode{shutdown: func(context.Context) error { return nil }}
	b := newBench(t, n, nil)
	b.signals <- syscall.SIGTERM
	if code := b.execute([]string{"--set", "connection.max.concurrent=10000000"}); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	var said bool
	for _, l := range b.lines(t) {
		said = said || l["openFiles"] == float64(limit) &&
			l["connection.max.concurrent"] == float64(connections)
	}
	if want := limit < connections+spareDescriptors; said != want {
		t.Errorf("limit %d: said %v, want %v", limit, said, want)
	}
}

// TestRealNode runs the node itself: it binds, and its admin listener answers, until the signal.
func TestRealNode(t *testing.T) {
	b := newBench(t, nil, nil)
	started := make(chan *server.Node, 1)
	b.newNode = func(cfg config.Config, o server.Options) (node, error) {
		cfg.Ports.WS, cfg.Ports.TCP = config.AnyPort, config.AnyPort
		n, err := server.New(cfg, o)
		if err == nil {
			started <- n
		}
		return n, err
	}
	code := make(chan int, 1)
	go func() { code <- b.execute([]string{"--set", "admin.address=127.0.0.1:0"}) }()
	n := <-started
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(b.out.String(), `"msg":"ready"`) {
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %s", b.out.String())
		}
		<-time.After(time.Millisecond)
	}
	conn, err := net.Dial("tcp", n.Addr("tcp"))
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 4+len("publish:system.initialize:1.0.0\n"))
	if _, err := io.ReadFull(conn, first); err != nil ||
		string(first[4:]) != "publish:system.initialize:1.0.0\n" {
		t.Errorf("%q, %v", first, err)
	}
	b.signals <- syscall.SIGTERM
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Error(err)
	}
	_ = conn.Close() // The node gives who stays two seconds.
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d: %s", c, b.out.String())
	}
}
