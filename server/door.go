package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mbserver/codec"
	"mbserver/server/config"
)

// door is where connections arrive: everything slow or hostile happens here, on ordinary goroutines, each step with a
// deadline and a bound in bytes, before a loop sees the connection.
type door struct {
	// Immutable after newDoor.
	node      *Node
	listeners []*doorListener

	// Any goroutine.
	arriving atomic.Int64
	work     sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	inside map[net.Conn]struct{} // connections in their handshake; nil once the door is closed
}

type doorListener struct {
	net.Listener
	transport transport
}

func newDoor(n *Node) (*door, error) {
	d := &door{node: n, inside: make(map[net.Conn]struct{})}
	for _, l := range []struct {
		transport transport
		port      int
	}{{transportWS, n.cfg.Ports.WS}, {transportTCP, n.cfg.Ports.TCP}} {
		if err := d.listen(l.transport, n.cfg.Host, l.port); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

// listen binds one transport's port on every address that host means; port 0 turns it off, config.AnyPort takes any.
func (d *door) listen(t transport, host string, port int) error {
	if port == 0 {
		return nil
	}
	anyPort := port == config.AnyPort
	port = max(port, 0)
	hosts := []string{host}
	if host == "localhost" {
		hosts = []string{"127.0.0.1", "::1"} // every loopback address (protocol §9)
	}
	for i, h := range hosts {
		l, err := listenConfig.Listen(context.Background(), "tcp", net.JoinHostPort(h, strconv.Itoa(port)))
		if err != nil {
			noIPv6 := errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
			if i > 0 && (noIPv6 || anyPort) {
				continue
			}
			return fmt.Errorf("listening for %s: %w", t, err)
		}
		port = l.Addr().(*net.TCPAddr).Port
		d.listeners = append(d.listeners, &doorListener{Listener: l, transport: t})
	}
	return nil
}

func (d *door) addr(transport string) string {
	for _, l := range d.listeners {
		if l.transport.String() == transport {
			return l.Addr().String()
		}
	}
	return ""
}

// open begins to accept.
func (d *door) open() {
	for _, l := range d.listeners {
		d.node.log.Info("listening", "module", "door", "transport", l.transport.String(), "address", l.Addr().String())
		d.work.Add(1)
		go d.accept(l)
	}
}

// close stops accepting, cuts handshakes, and waits until nobody is in the door.
func (d *door) close() {
	for _, l := range d.listeners {
		_ = l.Close()
	}
	d.mu.Lock()
	inside := d.inside
	d.inside = nil
	d.mu.Unlock()
	for c := range inside {
		_ = c.SetDeadline(time.Now())
	}
	d.work.Wait()
}

// accept takes connections until the listener is closed. A shortage of descriptors makes it wait, never stop.
func (d *door) accept(l *doorListener) {
	defer d.work.Done()
	backoff := acceptBackoffMin
	for {
		c, err := l.Accept()
		if err == nil {
			backoff = acceptBackoffMin
			d.admit(c, l.transport)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		d.node.arrivals.Failed.Add(time.Now().Unix())
		d.node.throttle.Log(d.node.log, slog.LevelWarn, "cannot accept a connection", "module", "door",
			"transport", l.transport.String(), "error", err.Error(), "retryMs", backoff.Milliseconds())
		time.Sleep(backoff)
		backoff = min(2*backoff, acceptBackoffMax)
	}
}

// admit gives c a place and a goroutine for its handshake, or refuses it.
func (d *door) admit(c net.Conn, t transport) {
	if d.arriving.Add(1) > handshakesMax {
		d.arriving.Add(-1)
		d.node.arrivals.Rejected.Add(time.Now().Unix())
		d.node.throttle.Log(d.node.log, slog.LevelWarn, "refused a connection: too many handshakes", "module", "door")
		_ = c.SetDeadline(time.Now().Add(time.Millisecond))
		_, _ = c.Write(d.refusal(t, codec.ServiceUnavailable, 503, "too many connections arrive at once", "handshake_limit"))
		_ = c.Close()
		return
	}
	if t == transportWS { // a TCP connection has nothing to say here that could be waited for
		_ = c.SetDeadline(time.Now().Add(d.node.cfg.Connection.HandshakeTimeout)) // before close() may shorten it
	}
	d.mu.Lock()
	closed := d.inside == nil
	if !closed {
		d.inside[c] = struct{}{}
	}
	d.mu.Unlock()
	if closed {
		d.arriving.Add(-1)
		_ = c.Close()
		return
	}
	d.work.Add(1)
	go func() {
		defer d.work.Done()
		defer d.arriving.Add(-1)
		defer func() {
			if v := recover(); v != nil {
				d.node.throttle.Log(d.node.log, slog.LevelError, "internal fault", "module", "door", "panic", fmt.Sprint(v))
				_ = c.Close()
			}
		}()
		d.handle(c, t)
	}()
}

func (d *door) forget(c net.Conn) {
	d.mu.Lock()
	delete(d.inside, c)
	d.mu.Unlock()
}

// handle takes one connection through the door. It owns c: enrolling closes it (the loop has a duplicate).
func (d *door) handle(c net.Conn, t transport) {
	n := d.node
	why := ""
	switch {
	case n.connections.Add(1) > int64(n.cfg.Connection.MaxConcurrent):
		why = "connection_limit"
	case n.overBudget():
		why = "memory"
	}
	if why != "" {
		n.release() // a refused connection takes nobody's place
	}
	remote, _ := c.RemoteAddr().(*net.TCPAddr) // text only when a line is written: this one lives with the connection anyway
	a := &Arrival{Transport: t, Remote: remote}
	ok := true
	if t == transportWS {
		a.Rest, ok = d.upgrade(c, why != "")
	}
	d.forget(c)
	switch {
	case why != "":
		n.arrivals.Rejected.Add(time.Now().Unix())
		n.throttle.Log(n.log, slog.LevelWarn, "refused a connection", "module", "door", "remote", a.Remote.String(), "reason", why)
		if ok {
			d.refuse(c, t, codec.ServiceUnavailable, 503, "this node can take no more connections now", why)
		} else {
			_ = c.Close()
		}
	case !ok:
		n.arrivals.Failed.Add(time.Now().Unix())
		n.release()
	default:
		d.enroll(c, a)
	}
}

// enroll hands c to a loop.
func (d *door) enroll(c net.Conn, a *Arrival) {
	n := d.node
	if err := n.room.enroll(c, a); err != nil {
		n.arrivals.Failed.Add(time.Now().Unix())
		n.release()
		n.throttle.Log(n.log, slog.LevelWarn, "cannot enroll a connection", "module", "door",
			"remote", a.Remote.String(), "error", err.Error())
	}
}

// refusal composes the answer to a connection that may not enter (protocol §4).
func (d *door) refusal(t transport, code codec.Code, status int, message, reason string) []byte {
	payload := codec.AppendError(nil, code, message, time.Now().UnixMilli(), codec.TextDetail("reason", reason))
	if t == transportWS {
		return codec.AppendHTTPError(nil, status, payload)
	}
	b := codec.AppendTCPHeader(nil, len(codec.ErrorHeader)+len(payload))
	return append(append(b, codec.ErrorHeader...), payload...)
}

func (d *door) refuse(c net.Conn, t transport, code codec.Code, status int, message, reason string) {
	d.sayLast(c, d.refusal(t, code, status, message, reason))
}

// Bounds of reading what a refused peer still sends, so that its answer is not lost to a reset.
const (
	refusedBytes = 64 << 10
	refusedTime  = time.Second
)

// sayLast writes the last words to a connection and closes it once the peer has had the chance to read them.
func (d *door) sayLast(c net.Conn, words []byte) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(refusedTime))
	if _, err := c.Write(words); err != nil {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	buf := make([]byte, 4<<10)
	for left := refusedBytes; left > 0; {
		m, err := c.Read(buf)
		if err != nil {
			return
		}
		left -= m
	}
}

// upgrade reads the WebSocket handshake and, unless the connection is to be refused, answers it. rest is what followed it.
// When ok is false c has been answered and closed.
func (d *door) upgrade(c net.Conn, over bool) (rest []byte, ok bool) {
	buf := make([]byte, 0, 1<<10)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, cap(buf))...)[:len(buf)]
		}
		m, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+m]
		hs, size, bad := codec.ParseHandshake(buf)
		switch {
		case bad != nil:
			payload := codec.AppendError(nil, codec.MalformedMessage, bad.Reason, time.Now().UnixMilli())
			d.debug(c, bad.Reason)
			d.sayLast(c, codec.AppendHTTPError(nil, bad.Status, payload))
			return nil, false
		case size > 0 && over:
			return nil, true
		case size > 0:
			if _, err := c.Write(hs.Response); err != nil {
				_ = c.Close()
				return nil, false
			}
			return buf[size:], true
		case err != nil:
			d.debug(c, err.Error())
			_ = c.Close()
			return nil, false
		}
	}
}

func (d *door) debug(c net.Conn, reason string) {
	if d.node.log.Enabled(context.Background(), slog.LevelDebug) {
		d.node.log.Debug("handshake failed", "module", "door", "remote", c.RemoteAddr().String(), "reason", reason)
	}
}
