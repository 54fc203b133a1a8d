// Package clienttest is a broker for tests of programs that use the client, as
// net/http/httptest is a server for tests of HTTP clients. It speaks the
// protocol over TCP and WebSocket from plain maps, on one lock, and lets a test
// inject errors, stalls and disconnects. It is no broker to run anything on.
package clienttest

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"mbserver/codec"
)

const (
	maxFrame     = 1 << 20
	maxTimeoutMs = 3_600_000
	loopback     = "127.0.0.1:0"

	// lastWords bounds what is written to a client that has gone, or cannot be understood.
	lastWords = time.Second
)

// Options of a broker. The zero value is a broker that takes everything.
type Options struct {
	// Welcome is the payload of system.initialize; nil: one with the service's
	// ID and a limit of 16384 bytes.
	Welcome []byte
	// TLS, when not nil, makes the broker listen for tls:// and wss:// too. It must not change any
	// more.
	TLS *tls.Config
	// Silent makes the broker say nothing on connecting.
	Silent bool
	// Refuse, when not "", is answered to every connection, which is then closed.
	Refuse codec.Code
	// Authenticate, when not nil, makes the broker want to know who connects: it says who has a
	// token, or why it is refused (nil: it is not). Who shows none may only do so. It runs with the
	// broker's lock held.
	Authenticate func(token string) (Grant, *Refusal)
	// Intercept sees every message first; true means that it dealt with it. It
	// runs with the broker's lock held and may use the Conn's methods. The header
	// and the payload are valid until it returns.
	Intercept func(c *Conn, h *codec.Header, payload []byte) bool
}

// Broker is a running broker. Any goroutine.
type Broker struct {
	// NodeID is what the broker says of itself. Immutable.
	NodeID string

	options Options
	serving sync.WaitGroup

	// Guarded by mu.
	mu        sync.Mutex
	listeners map[string]net.Listener
	addresses map[string]string
	conns     map[*Conn]struct{}
	arrived   []*Conn // every connection ever
	requests  map[string]*outstanding
	received  map[codec.Action]int
}

type outstanding struct {
	from, to *Conn
	topic    string
	version  string
	id       string
	timer    *time.Timer
}

// New starts a broker on ports of the loopback address that the kernel picks.
func New(o Options) (*Broker, error) {
	b := &Broker{
		NodeID:    newID(),
		options:   o,
		listeners: make(map[string]net.Listener),
		addresses: map[string]string{"tcp": loopback, "ws": loopback},
		conns:     make(map[*Conn]struct{}),
		requests:  make(map[string]*outstanding),
		received:  make(map[codec.Action]int),
	}
	if o.TLS != nil {
		b.addresses["tls"], b.addresses["wss"] = loopback, loopback
	}
	return b, b.Listen()
}

// Listen starts accepting, again after StopListening on the same ports.
func (b *Broker) Listen() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for transport, address := range b.addresses {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		b.listeners[transport] = ln
		b.addresses[transport] = ln.Addr().String()
		b.serving.Add(1)
		go b.accept(ln, transport)
	}
	return nil
}

// StopListening refuses new connections; those that are stay.
func (b *Broker) StopListening() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for transport, ln := range b.listeners {
		_ = ln.Close() // A test's listener: nothing to save.
		delete(b.listeners, transport)
	}
}

// URL returns the address for Dial; transport is "tcp" or "ws", with [Options].TLS also "tls" or
// "wss".
func (b *Broker) URL(transport string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return transport + "://" + b.addresses[transport]
}

// Disconnect cuts every connection and returns how many there were.
func (b *Broker) Disconnect() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		c.Cut()
	}
	return len(b.conns)
}

// Close ends everything and waits for the broker's goroutines.
func (b *Broker) Close() {
	b.StopListening()
	b.Disconnect()
	b.serving.Wait()
}

// Conns returns the connections that are up, oldest first.
func (b *Broker) Conns() []*Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	var up []*Conn
	for _, c := range b.arrived {
		if _, ok := b.conns[c]; ok {
			up = append(up, c)
		}
	}
	return up
}

// Arrived returns how many connections there ever were.
func (b *Broker) Arrived() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.arrived)
}

// Received returns how many messages with the action came in.
func (b *Broker) Received(a codec.Action) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.received[a]
}

func (b *Broker) accept(ln net.Listener, transport string) {
	defer b.serving.Done()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		b.serving.Add(1)
		go func() {
			defer b.serving.Done()
			b.serve(conn, transport)
		}()
	}
}

func (b *Broker) serve(below net.Conn, transport string) {
	defer func() { _ = below.Close() }() // It may be closed already.
	conn, overWS := below, transport == "ws" || transport == "wss"
	if transport == "tls" || transport == "wss" {
		secure := tls.Server(below, b.options.TLS)
		if secure.Handshake() != nil {
			return // The client is told.
		}
		conn = secure
	}
	c := newConn(b, conn, below, overWS)
	if overWS {
		if b.options.Refuse != "" {
			body := append(errorBody(b.options.Refuse, "refused", nil), '\n')
			_, _ = conn.Write(codec.AppendHTTPError(nil, 503, body)) // The client may be gone.
			return
		}
		if !c.upgrade(conn) {
			return
		}
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	b.mu.Lock()
	switch {
	case b.options.Refuse != "":
		c.Send("response:error:1.0.0", errorBody(b.options.Refuse, "refused", nil))
		c.finish()
	case !b.options.Silent:
		c.Send("publish:system.initialize:1.0.0", b.welcome(c))
	}
	b.conns[c] = struct{}{}
	b.arrived = append(b.arrived, c)
	b.mu.Unlock()
	c.read()
	b.forget(c)
	_ = below.SetWriteDeadline(time.Now().Add(lastWords)) // It may be closed already.
	<-written
}

func (b *Broker) welcome(c *Conn) []byte {
	if b.options.Welcome != nil {
		return b.options.Welcome
	}
	welcome := `{"serviceId":"` + c.ID + `","nodeId":"` + b.NodeID + `","serverVersion":"0.0.0",` +
		`"limits":{"payloadBytes":16384,"timeoutMs":3600000,"outstandingRequests":10000}`
	if b.options.Authenticate != nil {
		auth := c.grant.fields()
		auth["required"] = true
		welcome += `,"auth":` + string(marshal(auth))
	}
	return []byte(welcome + "}")
}

// forget removes every trace of a connection; requests to it fail.
func (b *Broker) forget(c *Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, c)
	c.finish()
	for masked, r := range b.requests {
		if r.to == c || r.from == c {
			r.timer.Stop()
			delete(b.requests, masked)
		}
		if r.to == c && r.from != c {
			r.from.fail(r.topic, r.version, r.id, codec.ServiceUnavailable,
				"the service is gone", map[string]any{"reason": "disconnected"})
		}
	}
}
