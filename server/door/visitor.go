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
	"mbserver/server/metrics"
)

// visitor is an arrival that stays in the door for a while: for its handshake, or to hear why it
// may not enter. Owned by the loop.
type visitor struct {
	arrival
	gate     *gate
	deadline time.Time
	link     fair.Link[*visitor] // in the gate's asking, or leaving
	share    fair.Link[*visitor] // in the gate's shares, while it asks
	charge   int                 // bytes of the node's memory budget
	head     []byte              // what came of its handshake, when that comes in pieces
	parsed   int                 // bytes of head that were looked at
	left     int                 // bytes that it may still send; 0 before it has heard all
	gone     bool
	tls      securing
	failure  metrics.TLSFailure // what it counts as when its TLS handshake comes to nothing
}

// receive lets an arrival stay: for its handshake, or to hear why it may not enter, a reason of
// protocol §4. It is counted in Visitors.
func (g *gate) receive(a arrival, refusal string) {
	if refusal != "" && g.inside >= g.door.most && g.leaving.First() == nil {
		// No handshake gives way to who is only refused.
		g.door.turnAway(a, refusal, closeFile)
		g.door.leave(g)
		return
	}
	from := origin(a.remote.Addr())
	g.makeRoom(from)
	v := &visitor{arrival: a, gate: g}
	v.link.Item, v.share.Item = v, v
	v.deadline = time.Now().Add(g.door.handshakeTimeout)
	v.recharge()
	g.inside++
	g.asking.Push(&v.link)
	g.shares.Push(from, &v.share)
	g.wake(v.deadline)
	switch err := g.room.Watch(v.fd, v); {
	case err != nil && refusal == "":
		v.failed(err.Error())
		v.turnAway("connection_limit")
	case err != nil:
		v.turnAway(refusal)
	case refusal != "":
		v.refuse(refusal) // it need not ask
	}
}

// Ready implements reactor.Guest.
func (v *visitor) Ready(buf []byte) {
	defer v.gate.door.recovered(v.end)
	if v.left > 0 {
		v.hearOut(buf)
		return
	}
	if v.transport.Secure() {
		v.readSecure(buf)
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
		v.keep(head)
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
		v.keep(head)
		v.parsed = len(head)
	default:
		v.enter(&broker.Arrival{
			Transport: v.transport, Remote: v.remote, Session: v.session,
			Answer: hs.Response, Rest: head[size:],
		})
	}
}

// enter makes a connection of v, whose handshake is complete, if there is a place for it.
func (v *visitor) enter(as *broker.Arrival) {
	if why := v.gate.door.broker.Admit(); why != "" {
		v.refuse(why)
		return
	}
	v.gate.loop.Expect()
	v.depart()
	v.gate.show(v.arrival, as)
}

// keep notes what came of the handshake so far.
func (v *visitor) keep(head []byte) {
	v.head = append(v.head[:0], head...)
	v.recharge()
}

// recharge notes what v makes the node hold.
func (v *visitor) recharge() {
	held := 0
	if !v.gone {
		held = visitorCharge + cap(v.head) + v.chargeTLS()
	}
	v.gate.door.broker.Arriving.Add(int64(held - v.charge))
	v.charge = held
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
func (v *visitor) refuse(reason string) {
	v.gate.door.refused(v.arrival, reason)
	v.sayLast(refusal(v.transport, reason))
}

// giveWay ends a handshake for the sake of newer ones.
func (v *visitor) giveWay() {
	v.failure = metrics.TLSGaveWay
	v.turnAway("handshake_limit")
}

// turnAway ends a handshake at once, but tells v why.
func (v *visitor) turnAway(reason string) {
	v.noteTLS()
	v.depart()
	v.gate.door.turnAway(v.arrival, reason, v.gate.room.Close)
}

// fail ends a handshake without an answer.
func (v *visitor) fail(reason string) {
	v.failed(reason)
	v.end()
}

// failed counts a handshake that failed, and says why.
func (v *visitor) failed(reason string) {
	d := v.gate.door
	if d.log.Enabled(context.Background(), slog.LevelDebug) {
		d.log.Debug("handshake failed: "+v.remote.String()+", "+reason,
			"remote", v.remote.String(), "reason", reason)
	}
	d.broker.Arrivals.Failed.Add(time.Now().Unix())
	v.noteTLS()
}

// sayLast writes the last words to v, which has the chance to read them before it is closed.
func (v *visitor) sayLast(words []byte) { v.say(v.sealed(words)) }

// say is sayLast for bytes as they are on the wire.
func (v *visitor) say(words []byte) {
	// The socket is new and takes them whole, or its peer is gone.
	if n, err := unix.Write(v.fd, words); err != nil || n < len(words) {
		v.end()
		return
	}
	_ = unix.Shutdown(v.fd, unix.SHUT_WR)
	v.stopAsking()
	v.head, v.left = nil, refusedBytes
	v.recharge()
	v.deadline = time.Now().Add(refusedTime)
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
	if n <= 0 || n >= v.left {
		v.end()
		return
	}
	v.left -= n
}

// end closes v's descriptor.
func (v *visitor) end() {
	if !v.gone {
		v.depart()
		v.gate.room.Close(v.fd)
	}
}

// stopAsking takes v out of those in their handshake.
func (v *visitor) stopAsking() {
	v.gate.asking.Remove(&v.link)
	v.gate.shares.Remove(origin(v.remote.Addr()), &v.share)
}

// depart takes v out of the door.
func (v *visitor) depart() {
	if v.left > 0 {
		v.gate.leaving.Remove(&v.link)
	} else {
		v.stopAsking()
	}
	v.gone = true
	v.tls.stop()
	v.recharge()
	v.gate.inside--
	v.gate.door.leave(v.gate)
}
