package door

import (
	"cmp"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/broker"
	"mbserver/server/origin"
)

// arrive finds an accepted connection its way. Over plain TCP there is nothing to ask first: it has
// a place on a loop at once, or is refused. Else it takes a place when its handshakes are complete,
// not before. On the accepting loop.
func (g *gate) arrive(a arrival) {
	d := g.door
	to := g
	if a.asks() {
		if to = d.quietest(); to.busy() {
			to = g
		}
		d.come(to)
	} else {
		why := a.refusal
		if why == "" {
			why = d.broker.Admit(d.countedBy(a))
		}
		if why != "" {
			d.come(g)
			g.receive(a, why)
			return
		}
		if to = d.gates[d.broker.LoopFor().Index()]; to.busy() {
			to.loop.GiveBack()
			to = g
			to.loop.Expect()
		}
	}
	if to == g {
		g.enter(a)
	} else if !to.hand(a) {
		to.drop(a)
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
	if reason != a.refusal {
		d.refused(a, reason)
	}
	var unread [2 << 10]byte
	for range codec.MaxHandshake / len(unread) {
		if n, err := unix.Read(a.fd, unread[:]); n < len(unread) || err != nil {
			break
		}
	}
	_, _ = unix.Write(a.fd, a.sealed(d.refusal(&a, reason)))
	_ = unix.Shutdown(a.fd, unix.SHUT_WR)
	done(a.fd)
}

// countedBy is the address that a connection's place is counted by, the zero one when by none.
func (d *Door) countedBy(a arrival) netip.Addr {
	if d.broker.PerAddress() == 0 || d.trusted.Has(a.remote.Addr()) {
		return netip.Addr{}
	}
	return a.remote.Addr()
}

// refused counts a refusal and logs it.
func (d *Door) refused(a arrival, reason string, attrs ...any) {
	d.broker.Arrivals.Rejected.Add(time.Now().Unix())
	d.broker.Arrivals.Refused.Add(reason)
	d.broker.Refusals.Note(reason, d.broker.NowMs())
	remote, c := a.remote.String(), causes[reason]
	about := remote + ", " + reason
	if c.key != "" {
		about = remote + ", see " + c.key
		attrs = append(attrs, "key", c.key)
	}
	attrs = append(attrs, "remote", remote, "reason", reason)
	d.warn(cmp.Or(c.line, "refused a connection"), about, attrs...)
}

// cause is a reason of protocol §4 for which a connection may not enter.
type cause struct {
	status int
	code   codec.Code
	says   string // to the sender
	key    string // of the configuration, where one decides
	line   string // the log's, where it is one of its own: one of them does not hide the other
}

const (
	draining  = "draining"
	admission = "admission"
)

var causes = map[string]cause{
	"connection_limit": {503, codec.ServiceUnavailable,
		"this node has as many connections as it may have", "", ""},
	"handshake_limit": {503, codec.ServiceUnavailable,
		"too many connections are in their handshake", "", ""},
	"memory": {503, codec.ServiceUnavailable, "this node has no memory for more connections",
		"", ""},
	draining: {503, codec.ServiceUnavailable, "this node is going away", "", ""},
	admission: {503, codec.ServiceUnavailable, "too many connections come at the moment",
		"admission.rate", "refused a connection: more come than may in a second"},
	"address": {429, codec.RateLimitExceeded,
		"this address has as many connections as it may have", "connection.max.perAddress",
		"refused a connection of an address that has many"},
	"identity": {429, codec.RateLimitExceeded,
		"this identity has as many connections as it may have", "connection.max.perIdentity",
		"refused a connection of an identity that has many"},
	auth.ErrInvalid.Error(): {401, codec.Unauthorized, "these credentials are not valid", "",
		"refused wrong credentials"},
	auth.ErrExpired.Error(): {401, codec.Unauthorized, "these credentials have expired", "",
		"refused expired credentials"},
	lockedOut: {429, codec.Unauthorized, "too many wrong credentials came from this address",
		"auth.failure.lockout.threshold", "refused an address that is locked out"},
	origin.BadOrigin: {403, codec.Forbidden, "web pages of this origin may not connect",
		"ws.origins", "refused a connection of a web page"},
	origin.BadHost: {403, codec.Forbidden, "this node may not be called by this name",
		"ws.hosts", "refused a connection by a foreign name"},
}

// refusal composes the answer to a connection that may not enter (protocol §4).
func (d *Door) refusal(a *arrival, reason string) []byte {
	switch reason {
	case draining:
		return d.refusalFor(a.transport, reason, retryAfter)
	case admission:
		return d.refusalFor(a.transport, reason, a.after)
	}
	return d.refusalFor(a.transport, reason, 0)
}

// refusalFor is refusal with a time after which to try again; 0: none.
func (d *Door) refusalFor(t broker.Transport, reason string, after time.Duration) []byte {
	var details []codec.Detail
	var fields []string
	c := causes[reason]
	switch c.code {
	case codec.RateLimitExceeded:
		limit := d.broker.PerAddress()
		if reason == "identity" {
			limit = d.broker.PerIdentity()
		}
		details = append(details, codec.TextDetail("scope", reason),
			codec.NumberDetail("limit", limit))
	case codec.Forbidden:
		details = append(details, codec.TextDetail("reason", reason),
			codec.TextDetail("key", c.key))
	default:
		details = append(details, codec.TextDetail("reason", reason))
	}
	if after > 0 {
		details = append(details, codec.NumberDetail("retryAfterMs", int(after.Milliseconds())))
		fields = append(fields, "Retry-After: "+strconv.Itoa(wholeSeconds(after)))
	}
	payload := codec.AppendError(nil, c.code, c.says, time.Now().UnixMilli(), details...)
	if t.WebSocket() {
		return codec.AppendHTTPError(nil, c.status, payload, fields...)
	}
	b := codec.AppendTCPHeader(nil, len(codec.ErrorHeader)+len(payload))
	return append(append(b, codec.ErrorHeader...), payload...)
}
