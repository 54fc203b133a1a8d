//go:build linux

package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// oldCaller speaks the protocol and knows nothing of system.drain: when its connection ends, it
// connects again. It may serve, too.
type oldCaller struct {
	group   *group
	address string
	ws      bool
	tls     bool
	serves  func(c *oldCaller, m message) // nil: it does not
	greeted func(c *oldCaller)            // nil: it has nothing to say

	mu      sync.Mutex
	conn    net.Conn                // guarded by mu; nil while there is none
	at      string                  // guarded by mu: node ID
	pending map[string]chan outcome // guarded by mu
	out     []byte                  // guarded by mu; empty between calls
	stopped bool                    // guarded by mu
	done    chan struct{}           // closed when run has returned
}

func startOld(o *oldCaller) *oldCaller {
	o.pending, o.done = make(map[string]chan outcome), make(chan struct{})
	go o.run()
	return o
}

// run connects again and again.
func (o *oldCaller) run() {
	defer close(o.done)
	var lostAt time.Time
	for {
		conn, w, node, err := o.dial()
		if err != nil {
			o.group.refused(short(err))
		}
		o.mu.Lock()
		o.conn, o.at = conn, node
		stopped := o.stopped
		o.mu.Unlock()
		if stopped {
			if conn != nil {
				conn.Close()
			}
			return
		}
		if err == nil {
			if !lostAt.IsZero() {
				o.group.wasAway(time.Since(lostAt))
			}
			if o.greeted != nil {
				o.greeted(o)
			}
			o.ended(conn, o.serve(conn, w))
			lostAt = time.Now()
		}
		time.Sleep(rand.N(100 * time.Millisecond)) // As a simple client does.
	}
}

// dial connects and waits for the greeting.
func (o *oldCaller) dial() (_ net.Conn, _ *wire, at string, err error) {
	raw, err := net.DialTimeout("tcp4", o.address, patience)
	if err != nil {
		return nil, nil, "", fmt.Errorf("connect: %w", err)
	}
	conn := raw
	if o.tls {
		conn = tls.Client(conn, &tls.Config{
			InsecureSkipVerify: true, //nolint:gosec // its own, just made
		})
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	w := &wire{ws: o.ws}
	if o.ws {
		if _, err := io.WriteString(conn, upgrade); err != nil {
			return nil, nil, "", err
		}
	}
	buf := make([]byte, 4<<10)
	for {
		e, ok, err := w.next()
		if err != nil {
			return nil, nil, "", err
		}
		if ok {
			at, err := greeting(parse(e.data))
			if err != nil {
				return nil, nil, "", err
			}
			_ = conn.SetDeadline(time.Time{})
			return conn, w, at, nil
		}
		n, err := conn.Read(buf)
		if err != nil {
			return nil, nil, "", fmt.Errorf("before the greeting: %s", endOf(err))
		}
		w.feed(buf[:n])
	}
}

// upgrade is a client's whole handshake.
const upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\n" +
	"Upgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// greeting is the node's ID in a greeting.
func greeting(m message) (node string, err error) {
	var welcome struct{ NodeID string }
	if m.topic != "system.initialize" {
		return "", refusal(reasonOf(m.payload, m.topic))
	}
	err = json.Unmarshal(m.payload, &welcome)
	return welcome.NodeID, err
}

// serve handles what comes until the connection ends, and returns how it did.
func (o *oldCaller) serve(conn net.Conn, w *wire) error {
	buf := make([]byte, 16<<10)
	for {
		for {
			e, ok, err := w.next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			switch e.opcode {
			case opText:
				o.message(parse(e.data))
			case opPing:
				o.write(append(appendHead(nil, 0xa, len(e.data)), e.data...))
			case opClose:
				o.write(append(appendHead(nil, opClose, len(e.data)), e.data...))
				return refusal(closeName(e.data))
			}
		}
		n, err := conn.Read(buf)
		w.feed(buf[:n])
		if err != nil {
			return err
		}
	}
}

func closeName(payload []byte) string { return strconv.Itoa(closeCode(payload)) }

func (o *oldCaller) message(m message) {
	switch {
	case m.action == "response":
		if m.topic == topicEcho || m.topic == topicLong {
			o.group.book.answer(m.id)
		}
		if m.topic == "error" { // It could not even be read; nobody waits for it.
			o.group.refused(reasonOf(m.payload, "error"))
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if waits := o.pending[m.id]; waits != nil {
			delete(o.pending, m.id)
			got := outcome{answered, ""}
			if string(m.payload) != m.id && !strings.HasPrefix(m.topic, "system.") {
				got = outcome{failed, reasonOf(m.payload, "answered with what it did not ask")}
			}
			waits <- got
		}
	case m.action == "request" && m.topic == "system.heartbeat":
		o.send("response:system.heartbeat:1.0.0", "{}")
	case m.action == "request" && o.serves != nil:
		o.serves(o, m)
	}
}

// ended notes how the connection ended, and fails what waits for it.
func (o *oldCaller) ended(conn net.Conn, err error) {
	conn.Close()
	o.mu.Lock()
	o.conn, o.at = nil, ""
	for id, waits := range o.pending {
		delete(o.pending, id)
		waits <- outcome{lost, "the connection ended"}
	}
	stopped := o.stopped
	o.mu.Unlock()
	if stopped {
		return
	}
	var said refusal
	if !errors.As(err, &said) {
		said = refusal(endOf(err))
	}
	o.group.count(o.group.ends, string(said))
}

// send writes one message, if there is a connection.
func (o *oldCaller) send(header, payload string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn != nil {
		o.out = appendMessage(o.out[:0], o.ws, header, payload)
		_, _ = o.conn.Write(o.out) // The reader notices.
	}
}

func (o *oldCaller) write(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn != nil {
		_, _ = o.conn.Write(b) // As above.
	}
}

func (o *oldCaller) call(id, topic string, timeout time.Duration) outcome {
	waits := make(chan outcome, 1)
	o.mu.Lock()
	if o.conn == nil {
		o.mu.Unlock()
		return outcome{away, ""}
	}
	o.pending[id] = waits
	header := fmt.Sprintf("request:%s:1.0.0:%s::%d", topic, id, timeout.Milliseconds())
	o.out = appendMessage(o.out[:0], o.ws, header, id)
	_, _ = o.conn.Write(o.out) // As above.
	o.mu.Unlock()
	select {
	case got := <-waits:
		return got
	case <-time.After(timeout + 2*time.Second):
		o.mu.Lock()
		delete(o.pending, id)
		o.mu.Unlock()
		return outcome{failed, "never answered"}
	}
}

func (o *oldCaller) node() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.at
}

func (o *oldCaller) close() {
	o.mu.Lock()
	o.stopped = true
	if o.conn != nil {
		o.conn.Close()
	}
	o.mu.Unlock()
	<-o.done
}

// short is an error without what differs from one to the next.
func short(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}
