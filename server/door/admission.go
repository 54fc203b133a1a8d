package door

import (
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/codec"
	"mbserver/server/broker"
)

// arrive finds an accepted connection its way. Over plain TCP there is nothing to ask first: it has
// a place on a loop at once, or is refused. Else it takes a place when its handshakes are complete,
// not before. On the accepting loop.
func (g *gate) arrive(a arrival) {
	d := g.door
	if a.asks() {
		to := d.quietest()
		d.come(to)
		g.hand(to, a)
		return
	}
	if why := d.broker.Admit(); why != "" {
		d.come(g)
		g.receive(a, why)
		return
	}
	g.hand(d.gates[d.broker.LoopFor().Index()], a)
}

// hand has an arrival enter by a gate.
func (g *gate) hand(to *gate, a arrival) {
	if to == g {
		g.enter(a)
	} else if !to.room.Do(func() { to.enter(a) }) {
		to.drop(a) // the loop has ended
	}
}

// quietest returns the gate with the fewest visitors, of those the one whose loop has the fewest
// connections. So whoever fills the door fills every gate alike.
func (d *Door) quietest() *gate {
	best := d.gates[0]
	for _, g := range d.gates[1:] {
		n, least := g.visitors.Load(), best.visitors.Load()
		if n < least || n == least && g.loop.Load() < best.loop.Load() {
			best = g
		}
	}
	return best
}

// turnAway refuses an arrival for which there is no time, and closes fd with done. What it has sent
// is read as far as it has come: closing with bytes unread would take its answer away from it.
func (d *Door) turnAway(a arrival, reason string, done func(fd int)) {
	d.refused(a, reason)
	var unread [2 << 10]byte
	for range codec.MaxHandshake / len(unread) {
		if n, err := unix.Read(a.fd, unread[:]); n < len(unread) || err != nil {
			break
		}
	}
	_, _ = unix.Write(a.fd, a.sealed(refusal(a.transport, reason)))
	_ = unix.Shutdown(a.fd, unix.SHUT_WR)
	done(a.fd)
}

// refused counts a refusal and logs it.
func (d *Door) refused(a arrival, reason string) {
	d.broker.Arrivals.Rejected.Add(time.Now().Unix())
	remote := a.remote.String()
	d.warn("refused a connection", remote+", "+reason, "remote", remote, "reason", reason)
}

// causes are the reasons of protocol §4 in words.
var causes = map[string]string{
	"connection_limit": "this node has as many connections as it may have",
	"handshake_limit":  "too many connections are in their handshake",
	"memory":           "this node has no memory for more connections",
	draining:           "this node is going away",
}

const draining = "draining"

// refusal composes the answer to a connection that may not enter (protocol §4).
func refusal(t broker.Transport, reason string) []byte {
	details := []codec.Detail{codec.TextDetail("reason", reason)}
	var fields []string
	if reason == draining {
		details = append(details, codec.NumberDetail("retryAfterMs",
			int(retryAfter.Milliseconds())))
		fields = append(fields, "Retry-After: "+strconv.Itoa(int(retryAfter.Seconds())))
	}
	payload := codec.AppendError(nil, codec.ServiceUnavailable, causes[reason],
		time.Now().UnixMilli(), details...)
	if t.WebSocket() {
		return codec.AppendHTTPError(nil, 503, payload, fields...)
	}
	b := codec.AppendTCPHeader(nil, len(codec.ErrorHeader)+len(payload))
	return append(append(b, codec.ErrorHeader...), payload...)
}

// origin is the address that shares are counted by: of IPv6 the network, which is what one client
// may have.
func origin(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	network, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return network.Addr()
}
