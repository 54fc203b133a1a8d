package door

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/codec"
	"mbserver/server/broker"
	"mbserver/server/fair"
	"mbserver/server/metrics"
	"mbserver/server/origin"
)

// visitor is an arrival that stays in the door for a while: for a balancer's word and its
// handshake, or to hear why it may not enter. Owned by the loop.
type visitor struct {
	arrival
	gate     *gate
	deadline time.Time
	link     fair.Link[*visitor] // in one of the gate's lists
	in       *fair.List[*visitor]
	share    fair.Link[*visitor] // in the gate's shares, when from is valid
	from     netip.Addr          // whose share
	begun    bool                // what has to come first has come: a PROXY header, or none
	charge   int                 // bytes of the node's memory budget
	head     []byte              // what came of its handshake, when that comes in pieces
	parsed   int                 // bytes of head that were looked at
	left     int                 // bytes that it may still send; 0 before it has heard all
	gone     bool
	tls      securing
	failure  metrics.TLSFailure // what it counts as when its TLS handshake comes to nothing
}

// receive lets an arrival stay: for its handshake, or to hear why it may not enter, a reason of
// protocol §4. It is counted in Visitors. Who will be refused when it has asked (a.refusal) has
// little time for that.
func (g *gate) receive(a arrival, refusal string) {
	if a.refusal != "" {
		g.door.refused(a, a.refusal) // whether it hears of it or not
		if a.speaksSecond() {
			refusal = a.refusal // it might not ask
		}
	}
	why := cmp.Or(refusal, a.refusal)
	if why != "" && g.inside >= g.door.most && g.leaving.First() == nil {
		// No handshake gives way to who is only refused.
		g.door.turnAway(a, why, closeFile)
		g.door.leave(g)
		return
	}
	v := &visitor{arrival: a, gate: g}
	v.link.Item, v.share.Item = v, v
	v.sharing() // before others give way: whose address has its share makes room itself
	g.makeRoom()
	v.deadline, v.in = time.Now().Add(g.door.handshakeTimeout), &g.asking
	if a.speaksSecond() {
		v.deadline, v.in = time.Now().Add(min(proxyWait, g.door.handshakeTimeout)), &g.waiting
	}
	if why != "" {
		v.deadline, v.in = time.Now().Add(refusedTime), &g.leaving
	}
	v.recharge()
	g.inside++
	v.in.Push(&v.link)
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
	if v.begun && v.transport.Secure() {
		v.readSecure(buf)
		return
	}
	have := copy(buf, v.head)
	n, err := unix.Read(v.fd, buf[have:min(have+visitRead, len(buf))])
	switch {
	case n > 0:
		v.take(buf[:have+n])
	case err == nil:
		v.ended("it ended")
	case err != unix.EAGAIN && err != unix.EINTR:
		v.ended(err.Error())
	}
}

// take goes on with a visit of which head has come so far: first a PROXY header, then handshakes.
func (v *visitor) take(head []byte) {
	if !v.begun {
		if head, v.begun = v.unwrap(head); !v.begun {
			return
		}
	}
	switch {
	case v.transport.Secure():
		v.begin(head)
	case v.transport.WebSocket():
		v.ask(head)
	default:
		v.enter(&broker.Arrival{Rest: head})
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
		v.malformed(bad.Status, bad.Reason)
	case size == 0:
		v.keep(head)
		v.parsed = len(head)
	default:
		v.judge(&hs, head[size:])
	}
}

// judge decides on a complete handshake by who sends it and from where.
func (v *visitor) judge(hs *codec.Handshake, rest []byte) {
	d := v.gate.door
	host := hs.Host
	if d.trusted.Has(v.remote.Addr()) {
		host = cmp.Or(origin.LastElement(hs.ForwardedHost), host)
	}
	client, err := d.trusted.Client(v.remote, hs.ForwardedFor, hs.Forwarded)
	if err != nil {
		v.malformed(400, err.Error())
		return
	}
	v.remote = client
	if why := d.pages.Check(hs.Origin, host, v.loopback); why != "" {
		v.refuse(why, "origin", shorten(hs.Origin), "host", shorten(host))
		return
	}
	deflate := d.deflate && hs.AgreeDeflate()
	v.prove(hs, &broker.Arrival{Answer: hs.Response, Rest: rest, Deflate: deflate})
}

// shorten keeps what a stranger has sent from filling the log.
func shorten(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// malformed answers a handshake that is none.
func (v *visitor) malformed(status int, reason string) {
	payload := codec.AppendError(nil, codec.MalformedMessage, reason, time.Now().UnixMilli())
	v.failed(reason)
	v.sayLast(codec.AppendHTTPError(nil, status, payload))
}

// enter makes a connection of v, whose handshake is complete, if there is a place for it.
func (v *visitor) enter(as *broker.Arrival) {
	d := v.gate.door
	if v.refusal != "" {
		v.refuse(v.refusal)
		return
	}
	if why := d.broker.Admit(d.countedBy(v.arrival)); why != "" {
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
func (v *visitor) refuse(reason string, attrs ...any) {
	if reason != v.refusal {
		v.gate.door.refused(v.arrival, reason, attrs...)
	}
	v.sayLast(v.gate.door.refusal(&v.arrival, reason))
}

// giveWay ends a handshake for the sake of newer ones.
func (v *visitor) giveWay() {
	v.failure = metrics.TLSGaveWay
	v.turnAway("handshake_limit")
}

// turnAway ends a handshake at once, but tells v why.
func (v *visitor) turnAway(reason string) {
	v.depart()
	v.gate.door.turnAway(v.arrival, reason, v.gate.room.Close)
}

// ended is the end of v's stream before it has entered. Balancers end so when they only wanted to
// know whether the node is there.
func (v *visitor) ended(how string) {
	d := v.gate.door
	spoke := len(v.head) > 0 || v.tls.handshake != nil || v.session != nil
	if spoke || !d.trusted.Has(v.remote.Addr()) {
		v.fail(how)
		return
	}
	if d.log.Enabled(context.Background(), slog.LevelDebug) {
		remote := v.remote.String()
		d.log.Debug("health check: "+remote, "remote", remote)
	}
	v.end()
}

// fail ends a handshake without an answer.
func (v *visitor) fail(reason string) {
	if v.proxy == proxyRequired {
		v.refuseProxy(v.missing(reason))
		return
	}
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
	why := failedHandshake
	if v.failsTLS() {
		why = v.failure.String()
	}
	d.noteFailed(why)
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
	v.deadline, v.in = time.Now().Add(refusedTime), &v.gate.leaving
	v.in.Push(&v.link)
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

// sharing takes a share of the handshakes for v's address. When that has as many as it may have,
// the oldest of them gives way.
func (v *visitor) sharing() {
	g := v.gate
	if v.refusal != "" || g.door.trusted.Has(v.remote.Addr()) {
		return
	}
	v.from = origin.Network(v.remote.Addr())
	if g.shares.Count(v.from) >= max(g.door.most/addressShare, 2) {
		g.shares.First(v.from).Item.giveWay()
	}
	g.shares.Push(v.from, &v.share)
}

// stopSharing gives that share back.
func (v *visitor) stopSharing() {
	if v.from.IsValid() {
		v.gate.shares.Remove(v.from, &v.share)
		v.from = netip.Addr{}
	}
}

// stopAsking takes v out of those in their handshake.
func (v *visitor) stopAsking() {
	v.in.Remove(&v.link)
	v.stopSharing()
	v.noteTLS()
}

// depart takes v out of the door.
func (v *visitor) depart() {
	if v.left == 0 {
		v.noteTLS()
	}
	v.in.Remove(&v.link)
	v.stopSharing()
	v.gone = true
	v.stopTLS()
	v.recharge()
	v.gate.inside--
	v.gate.door.leave(v.gate)
}
