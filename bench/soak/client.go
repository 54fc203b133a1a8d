//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every wait for the node: beyond it a client counts as not served.
const patience = 10 * time.Second

// addresses are the node's listeners.
type addresses struct{ TCP, WS string }

// client is one connection, of a polite client or of an attacker. One goroutine reads, any write.
type client struct {
	net.Conn
	ws   bool
	br   *bufio.Reader
	in   []byte // the message that was read
	mute bool   // it has ended its own stream, and answers nothing

	mu  sync.Mutex
	out []byte // guarded by mu; empty between calls
}

// message is one that arrived. It is valid until the next.
type message struct {
	action, topic, id string
	payload           []byte
}

// refusal is the reason for which the node refused a connection.
type refusal string

func (r refusal) Error() string { return "refused: " + string(r) }

// manner is how a client connects.
type manner struct {
	ws     bool
	narrow bool   // small buffers, so that not reading is felt at once
	from   string // address to come from; empty: any
}

// connect opens a TCP connection, without a word.
func connect(to addresses, m manner) (net.Conn, error) {
	d := net.Dialer{Timeout: patience, KeepAlive: -1}
	if m.narrow {
		d.Control = func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10)
			})
		}
	}
	if m.from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(m.from)}
	}
	address := to.TCP
	if m.ws {
		address = to.WS
	}
	return d.Dial("tcp4", address)
}

// upgrade is a client's whole handshake.
const upgrade = "GET / HTTP/1.1\r\nHost: localhost\r\n" +
	"Upgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// dial connects and takes the greeting.
func dial(to addresses, m manner) (*client, error) {
	nc, err := connect(to, m)
	if err != nil {
		return nil, err
	}
	c := &client{Conn: nc, ws: m.ws, br: bufio.NewReader(nc)}
	_ = c.SetDeadline(time.Now().Add(patience))
	if err := c.greet(); err != nil {
		nc.Close()
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	return c, nil
}

func (c *client) greet() error {
	if c.ws {
		if _, err := io.WriteString(c.Conn, upgrade); err != nil {
			return err
		}
		status := ""
		for {
			line, err := c.br.ReadString('\n')
			if err != nil {
				return fmt.Errorf("in the handshake: %w", err)
			}
			if line == "\r\n" {
				break
			}
			if status == "" {
				status = line
			}
		}
		if !strings.Contains(status, " 101 ") {
			body, _ := io.ReadAll(io.LimitReader(c.br, 1<<10)) // What came says enough.
			return refusal(reasonOf(body, strings.TrimSpace(status)))
		}
	}
	m, err := c.read()
	if err != nil {
		return fmt.Errorf("waiting for the greeting: %w", err)
	}
	if m.topic != "system.initialize" {
		return refusal(reasonOf(m.payload, m.topic))
	}
	return nil
}

// reasonOf finds what an error of the node says.
func reasonOf(payload []byte, otherwise string) string {
	var e struct {
		Error struct {
			Code    string
			Details struct{ Reason string }
		}
	}
	if i := bytes.IndexByte(payload, '{'); i < 0 || json.Unmarshal(payload[i:], &e) != nil {
		return otherwise
	}
	if e.Error.Code == "" {
		return otherwise
	}
	return strings.TrimSuffix(e.Error.Code+" "+e.Error.Details.Reason, " ")
}

// appendFrame appends one message as that transport has it.
func appendFrame(b []byte, ws bool, header, payload string) []byte {
	n := len(header) + 1 + len(payload)
	if ws {
		b = appendWSHead(b, 0x81, n)
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	b = append(b, header...)
	b = append(b, '\n')
	return append(b, payload...)
}

// appendWSHead appends the head of a frame from a client; the mask is zero.
func appendWSHead(b []byte, first byte, n int) []byte {
	b = append(b, first)
	switch {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(b, 0, 0, 0, 0)
}

// send writes one message.
func (c *client) send(header, payload string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = appendFrame(c.out[:0], c.ws, header, payload)
	_, err := c.Write(c.out)
	return err
}

// many returns n messages as one piece; each makes the i-th one.
func (c *client) many(n int, each func(i int) (header, payload string)) []byte {
	var b []byte
	for i := range n {
		header, payload := each(i)
		b = appendFrame(b, c.ws, header, payload)
	}
	return b
}

// pump writes such a piece over and over, until it fails.
func (c *client) pump(b []byte, wait func() bool) error {
	for wait() {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	return nil
}

var errClosed = errors.New("the node closed it")

// read returns the next message; it answers pings and heartbeats on the way.
func (c *client) read() (message, error) {
	for {
		if err := c.readFrame(); err != nil {
			return message{}, err
		}
		header, payload, _ := bytes.Cut(c.in, []byte("\n"))
		fields := strings.Split(string(header), ":")
		m := message{payload: payload}
		if len(fields) > 1 {
			m.action, m.topic = fields[0], fields[1]
		}
		if len(fields) > 3 {
			m.id = fields[3]
		}
		if m.action != "request" || m.topic != "system.heartbeat" || c.mute {
			return m, nil
		}
		if err := c.send("response:system.heartbeat:1.0.0", "{}"); err != nil {
			return m, err
		}
	}
}

func (c *client) readFrame() error {
	c.in = c.in[:0]
	if !c.ws {
		var head [4]byte
		if _, err := io.ReadFull(c.br, head[:]); err != nil {
			return err
		}
		return c.take(int(binary.BigEndian.Uint32(head[:])))
	}
	for {
		var head [8]byte
		if _, err := io.ReadFull(c.br, head[:2]); err != nil {
			return err
		}
		first, n := head[0], int(head[1]&0x7f)
		switch n {
		case 126:
			if _, err := io.ReadFull(c.br, head[:2]); err != nil {
				return err
			}
			n = int(binary.BigEndian.Uint16(head[:2]))
		case 127:
			if _, err := io.ReadFull(c.br, head[:]); err != nil {
				return err
			}
			n = int(binary.BigEndian.Uint64(head[:]))
		}
		before := len(c.in)
		if err := c.take(n); err != nil {
			return err
		}
		switch first & 0x0f {
		case 0x8:
			return errClosed
		case 0x9:
			pong := append(appendWSHead(nil, 0x8a, n), c.in[before:]...)
			if _, err := c.Write(pong); err != nil {
				return err
			}
			c.in = c.in[:before]
		case 0xa:
			c.in = c.in[:before]
		default:
			if first&0x80 != 0 {
				return nil
			}
		}
	}
}

// take reads n bytes behind what is there.
func (c *client) take(n int) error {
	before := len(c.in)
	c.in = append(c.in, make([]byte, n)...)
	_, err := io.ReadFull(c.br, c.in[before:])
	return err
}

// ask makes a request and waits for its answer; an error answer is an error. Only while nobody
// else reads.
func (c *client) ask(topic, payload string) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	defer func() { _ = c.SetDeadline(time.Time{}) }()
	id := uuid(0, 1)
	if err := c.send("request:"+topic+":1.0.0:"+id, payload); err != nil {
		return err
	}
	for {
		m, err := c.read()
		if err != nil {
			return fmt.Errorf("%s: %w", topic, err)
		}
		if m.id != id || m.action != "response" {
			continue
		}
		if bytes.HasPrefix(m.payload, []byte(`{"error"`)) {
			return fmt.Errorf("%s: %s", topic, reasonOf(m.payload, "error"))
		}
		return nil
	}
}

// drain reads and forgets whatever comes, answering heartbeats.
func (c *client) drain() error {
	for {
		if _, err := c.read(); err != nil {
			return err
		}
	}
}

// discard reads and forgets bytes, at the least cost.
func (c *client) discard() error {
	_, err := io.Copy(io.Discard, c.br)
	if err == nil {
		err = errClosed
	}
	return err
}

// uuid is a well-formed ID of two numbers.
func uuid(who, n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", who, n) }

// subscription is the payload that subscribes; more are further fields.
func subscription(action, pattern, more string) string {
	return fmt.Sprintf(`{"action":%q,"topic":%q%s}`, action, pattern, more)
}
