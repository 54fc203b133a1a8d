package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mbserver/client/clienttest"
)

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of the tests.
const patience = 5 * time.Second

// buffer is an output that another goroutine may look at.
type buffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

func (b *buffer) lines() []string {
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// invocation is one command line, running or ended.
type invocation struct {
	t      *testing.T
	stop   context.CancelFunc // the signal
	stdout buffer
	stderr buffer
	ended  chan struct{}
	code   int
}

func newBroker(t *testing.T, o clienttest.Options) *clienttest.Broker {
	t.Helper()
	t.Setenv("MB_SERVER", "")
	t.Setenv("MB_TOKEN", "")
	t.Setenv("MB_ADMIN", "")
	for _, flag := range securityFlags {
		t.Setenv(variable(flag), "")
	}
	b, err := clienttest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	t.Setenv("MB_SERVER", b.URL("tcp"))
	return b
}

// start runs mb with the arguments in the background.
func start(t *testing.T, stdin string, args ...string) *invocation {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	i := &invocation{t: t, stop: cancel, ended: make(chan struct{})}
	go func() {
		defer close(i.ended)
		i.code = run(ctx, args, strings.NewReader(stdin), &i.stdout, &i.stderr)
	}()
	t.Cleanup(func() {
		cancel()
		<-i.ended
	})
	return i
}

// wait waits for the end and checks the exit code.
func (i *invocation) wait(code int) *invocation {
	i.t.Helper()
	select {
	case <-i.ended:
	case <-time.After(patience):
		i.t.Fatalf("still running; stdout %q, stderr %q", i.stdout.String(), i.stderr.String())
	}
	if i.code != code {
		i.t.Fatalf("exit code %d, want %d; stdout %q, stderr %q",
			i.code, code, i.stdout.String(), i.stderr.String())
	}
	return i
}

func (i *invocation) wantOut(want string) *invocation {
	i.t.Helper()
	if got := i.stdout.String(); got != want {
		i.t.Errorf("stdout %q, want %q", got, want)
	}
	return i
}

func (i *invocation) wantErr(parts ...string) *invocation {
	i.t.Helper()
	for _, part := range parts {
		if !strings.Contains(i.stderr.String(), part) {
			i.t.Errorf("stderr %q, want %q in it", i.stderr.String(), part)
		}
	}
	return i
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// subscribed waits until somebody has made the subscription ("publish a.b").
func subscribed(t *testing.T, b *clienttest.Broker, want string) *clienttest.Conn {
	t.Helper()
	var found *clienttest.Conn
	eventually(t, want, func() bool {
		for _, c := range b.Conns() {
			for _, s := range c.Subscriptions() {
				if s == want {
					found = c
					return true
				}
			}
		}
		return false
	})
	return found
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUsage(t *testing.T) {
	newBroker(t, clienttest.Options{})
	for _, args := range [][]string{
		{"nonsense"}, {"--nonsense"},
		{"pub"}, {"pub", "a", "b", "--file", "x"}, {"pub", "--tsv", "a"},
		{"pub", "a{b"}, {"pub", "a}b"}, {"pub", "a.{}"}, {"pub", "a.{b:x,y}"},
		{"pub", "a.{b:x<2,y<1,z}"}, {"pub", "a", "b", "--count", "-1"},
		{"pub", "a", "b", "--rate", "x"}, {"pub", "a", "b", "--rate", "nan"},
		{"pub", "not a topic"}, {"pub", "a", "b", "c"},
		{"pub", "a", "--version-of-message", "1"}, {"request", "a..b", "x"},
		{"sub"}, {"sub", "a", "--overflow", "explode"}, {"sub", "a", "--count", "-1"},
		{"request"}, {"request", "a", "--parallel", "0"},
		{"reply", "a"}, {"reply", "a", "b", "--echo"}, {"reply"},
		{"reply", "a", "--echo", "--concurrency", "0"},
		{"reply", "a", "--echo", "--description", "d"},
		{"services", "x"}, {"log", "--level", "loud"}, {"log", "--count", "-1"},
		{"topics", "--timeout", "0s"},
	} {
		i := start(t, "", args...).wait(exitUsage).wantOut("")
		text := i.stderr.String()
		if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "mb: ") {
			t.Errorf("%v: stderr %q is not one line", args, text)
		}
	}
}

func TestHelpAndCompletion(t *testing.T) {
	newBroker(t, clienttest.Options{})
	for _, args := range [][]string{
		{"--help"}, {"pub", "--help"}, {"completion", "bash"}, {"--version"}, nil, {"help"},
		{"help", "context", "add"}, {"completion"},
	} {
		if i := start(t, "", args...).wait(exitOK); i.stdout.String() == "" {
			t.Errorf("%v prints nothing", args)
		}
	}
}

func TestNoBroker(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	b.StopListening()
	for _, args := range [][]string{
		{"pub", "a", "b"}, {"sub", "a"}, {"request", "a", "b"}, {"reply", "a", "b"},
		{"services"}, {"log"},
	} {
		i := start(t, "", args...).wait(exitError).wantErr("refused")
		if strings.Count(i.stderr.String(), "\n") != 1 {
			t.Errorf("%v: stderr %q is not one line", args, i.stderr.String())
		}
	}
}

func TestServerFlag(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	t.Setenv("MB_SERVER", "tcp://127.0.0.1:1")
	for _, server := range []string{
		b.URL("ws"), b.URL("tcp"), strings.TrimPrefix(b.URL("tcp"), "tcp://"),
	} {
		start(t, "", "topics", "--server", server).wait(exitOK)
	}
	start(t, "", "topics", "--server", "http://x").wait(exitError).wantErr("must begin with")
}
