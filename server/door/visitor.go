package door

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/codec"
	"mbserver/server/broker"
	"mbserver/server/fair"
)

// visitor is an arrival that stays in the door for a while: for its handshake, or to hear why it
// may not enter. Owned by the loop.
type visitor struct {
	arrival
	gate     *gate
	refusal  string // why it may not enter, a reason of protocol §4; empty: it has a place
	deadline time.Time
	link     fair.Link[*visitor] // in the gate's asking, or leaving
	head     []byte              // what came of its handshake, when that comes in pieces
	parsed   int                 // bytes of head that were looked at
	left     int                 // bytes that it may still send; 0 before it has heard all
	gone     bool
}

// receive lets an arrival stay. It is counted in visitors.
func (g *gate) receive(a arrival, refusal string) {
	v := &visitor{arrival: a, gate: g, refusal: refusal}
	v.link.Item = v
	v.deadline = time.Now().Add(g.door.handshakeTimeout)
	g.asking.Push(&v.link)
	g.wake(v.deadline)
	switch err := g.room.Watch(v.fd, v); {
	case err != nil:
		v.fail(err.Error())
	case v.refusal != "" && v.transport != broker.TransportWS:
		v.refuse() // it need not ask
	}
}

// Ready implements reactor.Guest.
func (v *visitor) Ready(buf []byte) {
	defer v.gate.door.recovered(v.end)
	if v.left > 0 {
		v.hearOut(buf)
		return
	}
	have := copy(buf, v.head)
	n, err := unix.Read(v.fd, buf[have:])
	switch {
	case n > 0:
		v.ask(buf[:have+n])
	case err == nil:
		v.fail("it ended")
	case err != unix.EAGAIN && err != unix.EINTR:
		v.fail(err.Error())
	}
}

// ask goes on with a handshake, of which head has come so far.
func (v *visitor) ask(head []byte) {
	if !v.worthParsing(head) {
		v.head = append(v.head[:0], head...)
		return
	}
	hs, size, bad := codec.ParseHandshake(head)
	switch {
	case bad != nil:
		now := time.Now().UnixMilli()
		payload := codec.AppendError(nil, codec.MalformedMessage, bad.Reason, now)
		v.failed(bad.Reason)
		v.sayLast(codec.AppendHTTPError(nil, bad.Status, payload))
	case size == 0:
		v.head, v.parsed = append(v.head[:0], head...), len(head)
	case v.refusal != "":
		v.refuse()
	default:
		v.depart()
		v.gate.show(v.fd, &broker.Arrival{
			Transport: v.transport, Remote: v.remote, Answer: hs.Response, Rest: head[size:],
		})
	}
}

// worthParsing says whether head may mean more than what was parsed of it. A head that comes byte
// by byte would otherwise be parsed once for each of them: little work for the sender, much for the
// loop.
func (v *visitor) worthParsing(head []byte) bool {
	fresh := head[max(len(v.head)-len(headEnd)+1, 0):]
	return len(head) <= parseAlways || len(head) >= min(2*v.parsed, codec.MaxHandshake) ||
		bytes.Contains(fresh, headEnd)
}

var headEnd = []byte("\r\n\r\n")

// refuse tells v that it may not enter.
func (v *visitor) refuse() {
	v.gate.door.refused(v.arrival, v.refusal)
	v.sayLast(refusal(v.transport, "this node can take no more connections now", v.refusal))
}

// fail ends a handshake without an answer.
func (v *visitor) fail(reason string) {
	v.failed(reason)
	v.end()
}

// failed counts a handshake that failed, and says why. Its place is given back.
func (v *visitor) failed(reason string) {
	d := v.gate.door
	if d.log.Enabled(context.Background(), slog.LevelDebug) {
		d.log.Debug("handshake failed", "remote", v.remote.String(), "reason", reason)
	}
	if v.refusal != "" {
		d.refused(v.arrival, v.refusal)
		return
	}
	d.broker.Arrivals.Failed.Add(time.Now().Unix())
	v.gate.giveBack()
}

// sayLast writes the last words to v, which has the chance to read them before it is closed.
func (v *visitor) sayLast(words []byte) {
	// The socket is new and takes them whole, or its peer is gone.
	if n, err := unix.Write(v.fd, words); err != nil || n < len(words) {
		v.end()
		return
	}
	_ = unix.Shutdown(v.fd, unix.SHUT_WR)
	v.head, v.left = nil, refusedBytes
	v.deadline = time.Now().Add(refusedTime)
	v.gate.asking.Remove(&v.link)
	v.gate.leaving.Push(&v.link)
	v.gate.wake(v.deadline)
}

// hearOut drops what a refused peer sends: closing with bytes unread would reset the connection,
// and take the last words away from it.
func (v *visitor) hearOut(buf []byte) {
	n, err := unix.Read(v.fd, buf[:min(v.left, len(buf))])
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if v.left -= n; n <= 0 || v.left == 0 {
		v.end()
	}
}

// end closes v's descriptor.
func (v *visitor) end() {
	if !v.gone {
		v.depart()
		v.gate.room.Close(v.fd)
	}
}

// depart takes v out of the door.
func (v *visitor) depart() {
	list := &v.gate.asking
	if v.left > 0 {
		list = &v.gate.leaving
	}
	list.Remove(&v.link)
	v.gone = true
	v.gate.door.leave()
}
