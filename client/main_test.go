package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mbserver/client/clienttest"
)

// Scratch is a folder for what the tests build. It ends with them.
var Scratch string

func TestMain(m *testing.M) {
	var err error
	if Scratch, err = os.MkdirTemp("", "mb-client-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(Scratch) // What stays lies in the system's temporary directory.
		os.Exit(code)
	}))
}

// patience bounds every wait of the tests.
const patience = 10 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// authority signs the certificate of the tests' brokers, and is trusted by what dial connects.
var authority = sync.OnceValues(func() (a *clienttest.Authority, err error) {
	return clienttest.NewAuthority()
})

// certified is the TLS configuration of a broker with a certificate for these names.
func certified(t *testing.T, end time.Time, names ...string) *tls.Config {
	t.Helper()
	a, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := a.Issue(end, names...)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}}
}

// trusting makes a client trust what certified makes.
func trusting(t *testing.T) Option {
	t.Helper()
	a, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	return WithTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.Pool()})
}

func newBroker(t *testing.T, o clienttest.Options) *clienttest.Broker {
	t.Helper()
	if o.TLS == nil {
		o.TLS = certified(t, time.Time{}, "127.0.0.1")
	}
	b, err := clienttest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func dial(t *testing.T, address string, opts ...Option) *Client {
	t.Helper()
	c, err := Dial(testContext(t), address, append([]Option{trusting(t)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close() // It never fails.
		<-c.Done()
	})
	return c
}

// eventually polls until the condition holds.
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

// receive takes the next value of a channel.
func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("not in %v: %s", patience, what)
		panic("unreachable")
	}
}

var transports = []string{"tcp", "ws", "tls", "wss"}

func overTransports(t *testing.T, f func(t *testing.T, transport string)) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) { f(t, transport) })
	}
}

// gate is a connection whose writes are recorded and, while it is shut, wait.
type gate struct {
	net.Conn
	mu     sync.Mutex
	change *sync.Cond
	shut   bool
	closed bool
	writes [][]byte
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	g.writes = append(g.writes, append([]byte(nil), p...))
	g.change.Broadcast()
	for g.shut && !g.closed {
		g.change.Wait()
	}
	g.mu.Unlock()
	return g.Conn.Write(p)
}

func (g *gate) Close() error {
	g.mu.Lock()
	g.closed = true
	g.change.Broadcast()
	g.mu.Unlock()
	return g.Conn.Close()
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	g.change.Broadcast()
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.writes)
}

// dialGate connects through a gate.
func dialGate(t *testing.T, address string, opts ...Option) (*Client, *gate) {
	t.Helper()
	g := &gate{}
	g.change = sync.NewCond(&g.mu)
	through := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		g.Conn = conn
		return g, err
	}
	opts = append(opts, WithDialer(through))
	return dial(t, address, opts...), g
}
