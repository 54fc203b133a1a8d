package clienttest

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"mbserver/codec"
)

// Conn is one connection of the broker.
type Conn struct {
	// ID is the service ID.
	ID string

	broker *Broker
	conn   net.Conn
	below  net.Conn // conn, or what is under TLS
	ws     bool

	// Guarded by the broker's mu.
	name, description string
	subscriptions     []subscription
	log               bool
	token             string // shown last
	grant             *Grant // nil: nobody is known

	// Guarded by mu.
	mu      sync.Mutex
	changed *sync.Cond
	out     []byte
	ending  bool
	stalled bool
}

type subscription struct {
	Action   string  `json:"action"`
	Topic    string  `json:"topic"`
	Priority float64 `json:"priority"`
	Overflow string  `json:"overflow,omitempty"`
	Conflate bool    `json:"conflate,omitempty"`
}

func newID() string { return codec.NewUUID(rand.Uint64(), rand.Uint64()).String() }

func newConn(b *Broker, conn, below net.Conn, overWS bool) *Conn {
	c := &Conn{ID: newID(), broker: b, conn: conn, below: below, ws: overWS}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// Send writes one message: a header line without its newline, and the payload.
func (c *Conn) Send(header string, payload []byte) {
	msg := append(append([]byte(header), '\n'), payload...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ws {
		c.out = codec.AppendWSHeader(c.out, codec.Text, len(msg))
	} else {
		c.out = codec.AppendTCPHeader(c.out, len(msg))
	}
	c.out = append(c.out, msg...)
	c.changed.Broadcast()
}

// SendRaw writes bytes as they are, framing included.
func (c *Conn) SendRaw(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, b...)
	c.changed.Broadcast()
}

// Cut closes the connection at once, without goodbye.
func (c *Conn) Cut() {
	_ = c.below.Close() // It may be closed already.
	c.finish()
}

// Announce says that the node goes away: the connection will be closed after slot,
// and cut after deadline (protocol §11). To do so is the test's: see GoAway.
func (c *Conn) Announce(slot, deadline time.Duration) {
	c.Send("publish:system.drain:1.0.0", fmt.Appendf(nil,
		`{"reconnectAfterMs":%d,"deadlineMs":%d}`, slot.Milliseconds(), deadline.Milliseconds()))
}

// GoAway closes the connection as a node does that goes away: after what waits is
// written, with code 1001 or the end of the stream.
func (c *Conn) GoAway() {
	if c.ws {
		payload := codec.AppendClosePayload(nil, codec.CloseGoingAway, "")
		frame := codec.AppendWSHeader(nil, codec.Close, len(payload))
		c.SendRaw(append(frame, payload...))
	}
	c.finish()
}

// TLS returns what was agreed on for the connection; nil without TLS.
func (c *Conn) TLS() *tls.ConnectionState {
	secure, ok := c.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	state := secure.ConnectionState()
	return &state
}

// NetConn returns the connection below the messages, and below TLS.
func (c *Conn) NetConn() net.Conn { return c.below }

// Stall stops (true) or starts (false) reading from the client.
func (c *Conn) Stall(stalled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled = stalled
	c.changed.Broadcast()
}

// Subscriptions returns "action topic" of each, in the order they were made.
func (c *Conn) Subscriptions() []string {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	var all []string
	for _, s := range c.subscriptions {
		all = append(all, s.Action+" "+s.Topic)
	}
	return all
}

// Name returns the registered name; "" when not registered.
func (c *Conn) Name() string {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	return c.name
}

// finish closes the connection after what waits is written.
func (c *Conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending, c.stalled = true, false
	c.changed.Broadcast()
}

func (c *Conn) write() {
	defer func() { _ = c.conn.Close() }() // It may be closed already.
	for {
		c.mu.Lock()
		for len(c.out) == 0 && !c.ending {
			c.changed.Wait()
		}
		batch := c.out
		c.out = nil
		c.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		if _, err := c.conn.Write(batch); err != nil {
			return
		}
	}
}

func (c *Conn) read() {
	var d codec.Decoder = codec.NewTCPDecoder(maxFrame)
	if c.ws {
		d = codec.NewWSDecoder(maxFrame, false)
	}
	defer d.Release()
	buf := make([]byte, 16<<10)
	for {
		c.mu.Lock()
		for c.stalled {
			c.changed.Wait()
		}
		c.mu.Unlock()
		n, err := c.conn.Read(buf)
		if err != nil || !c.take(d, buf[:n]) {
			return
		}
	}
}

func (c *Conn) take(d codec.Decoder, in []byte) bool {
	for {
		m, rest, err := d.Next(in)
		switch {
		case err != nil, m.Kind == codec.Close:
			return false
		case m.Kind == codec.None:
			return true
		case m.Kind == codec.Binary || m.Kind == codec.Text:
			c.broker.take(c, m.Data)
		}
		in = rest
	}
}

// fail answers with an error (protocol §7).
func (c *Conn) fail(
	topic, version, id string, code codec.Code, message string, details map[string]any,
) {
	if id == "" {
		id = newID()
	}
	c.Send("response:"+topic+":"+version+":"+id, errorBody(code, message, details))
}

// refuse fails the message with that header.
func (c *Conn) refuse(h *codec.Header, code codec.Code, message string) {
	c.fail(string(h.Topic), string(h.Version), string(h.RequestID), code, message, nil)
}

func errorBody(code codec.Code, message string, details map[string]any) []byte {
	e := map[string]any{
		"code": code, "message": message,
		"timestamp": time.Now().UTC().Format(codec.TimestampLayout),
	}
	if details != nil {
		e["details"] = details
	}
	return marshal(map[string]any{"error": e})
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // Only maps of plain values are marshalled here.
	}
	return b
}
