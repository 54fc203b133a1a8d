package door

import (
	"time"

	"golang.org/x/sys/unix"

	"mbserver/codec"
	"mbserver/server/broker"
)

// arrive gives an accepted connection a place on a loop, or refuses it. On the accepting loop.
func (g *gate) arrive(a arrival) {
	d := g.door
	full := d.visitors.Load() >= handshakesMax // only this loop adds to them
	if full && a.transport == broker.TransportWS {
		d.turnAway(a, "too many connections arrive at once", "handshake_limit")
		return
	}
	why := d.broker.Admit()
	if why != "" && full {
		d.turnAway(a, "this node can take no more connections now", why)
		return
	}
	if why != "" || a.transport == broker.TransportWS {
		d.visitors.Add(1)
	}
	if why != "" {
		g.receive(a, why)
		return
	}
	to := d.gates[d.broker.LoopFor().Index()]
	if to == g {
		g.enter(a)
	} else if !to.room.Do(func() { to.enter(a) }) {
		to.drop(a) // the loop has ended
	}
}

// turnAway refuses an arrival for which there is no time.
func (d *Door) turnAway(a arrival, message, reason string) {
	d.refused(a, reason)
	_, _ = unix.Write(a.fd, refusal(a.transport, message, reason))
	_ = unix.Close(a.fd)
}

// refused counts a refusal and logs it.
func (d *Door) refused(a arrival, reason string) {
	d.broker.Arrivals.Rejected.Add(time.Now().Unix())
	d.warn("refused a connection", "remote", a.remote.String(), "reason", reason)
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
