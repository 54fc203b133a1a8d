package door

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"mbserver/codec"
	"mbserver/server/broker"
)

// admit gives c a place in the door and a goroutine for its handshake, or refuses it.
func (d *Door) admit(c net.Conn, t broker.Transport) {
	if d.arriving.Add(1) > handshakesMax {
		d.arriving.Add(-1)
		d.broker.Arrivals.Rejected.Add(time.Now().Unix())
		d.warn("refused a connection: too many handshakes")
		_ = c.SetDeadline(time.Now().Add(time.Millisecond))
		_, _ = c.Write(refusal(t, "too many connections arrive at once", "handshake_limit"))
		_ = c.Close()
		return
	}
	if t == broker.TransportWS {
		// Only a WebSocket has a handshake to wait for. Set before c is in d.inside: Close gives
		// those a deadline in the past, and must have the last word.
		_ = c.SetDeadline(time.Now().Add(d.handshakeTimeout))
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
	go d.lead(c, t)
}

// lead takes one connection through the door, on its own goroutine.
func (d *Door) lead(c net.Conn, t broker.Transport) {
	defer d.work.Done()
	defer d.arriving.Add(-1)
	defer func() {
		if v := recover(); v != nil {
			d.broker.Throttle.Log(d.log, slog.LevelError, "internal fault", "panic", fmt.Sprint(v))
			_ = c.Close()
		}
	}()
	d.handle(c, t)
}

func (d *Door) forget(c net.Conn) {
	d.mu.Lock()
	delete(d.inside, c)
	d.mu.Unlock()
}

// handle owns c: enrolling closes it (the loop has a duplicate).
func (d *Door) handle(c net.Conn, t broker.Transport) {
	why := d.broker.Admit()
	// Text only when a line is written: the address lives with the connection anyway.
	remote, _ := c.RemoteAddr().(*net.TCPAddr)
	a := &broker.Arrival{Transport: t, Remote: remote}
	ok := true
	if t == broker.TransportWS {
		a.Rest, ok = d.upgrade(c, why != "")
	}
	d.forget(c)
	switch {
	case why != "":
		d.broker.Arrivals.Rejected.Add(time.Now().Unix())
		d.warn("refused a connection", "remote", remote.String(), "reason", why)
		if ok {
			d.sayLast(c, refusal(t, "this node can take no more connections now", why))
		} else {
			_ = c.Close()
		}
	case !ok:
		d.broker.Arrivals.Failed.Add(time.Now().Unix())
		d.broker.Release()
	default:
		d.enroll(c, a)
	}
}

// enroll hands c to a loop.
func (d *Door) enroll(c net.Conn, a *broker.Arrival) {
	if err := d.room.Enroll(c, a); err != nil {
		d.broker.Arrivals.Failed.Add(time.Now().Unix())
		d.broker.Release()
		d.warn("cannot enroll a connection", "remote", a.Remote.String(), "error", err.Error())
	}
}

// refusal composes the answer to a connection that may not enter (protocol §4).
func refusal(t broker.Transport, message, reason string) []byte {
	payload := codec.AppendError(nil, codec.ServiceUnavailable, message, time.Now().UnixMilli(),
		codec.TextDetail("reason", reason))
	if t == broker.TransportWS {
		return codec.AppendHTTPError(nil, 503, payload)
	}
	b := codec.AppendTCPHeader(nil, len(codec.ErrorHeader)+len(payload))
	return append(append(b, codec.ErrorHeader...), payload...)
}
