package door

import (
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/broker"
)

// Credentials that come with a handshake (protocol §10).
//
// Purpose. Who somebody is is known before it has a place, where it says so in its handshake.
//
// Outline. Of the ways in which credentials may come the first that is used counts, and a wrong one
// is not replaced by the next (tokenOf; a certificate in prove). They are checked beside the loop
// (broker.Desk): a signature takes up to a millisecond. Meanwhile the socket is not watched, as
// during a step of a TLS handshake, and what has arrived is kept. Who gives none is admitted, and
// may say later who it is.

// tokenOf returns the token of a handshake, and whether there is one. One that cannot be read is
// "", which is never valid.
func tokenOf(hs *codec.Handshake) (token string, given bool) {
	scheme, value, _ := strings.Cut(hs.Authorization, " ")
	if strings.EqualFold(scheme, "Bearer") {
		return bounded(strings.TrimSpace(value)), true
	}
	for _, p := range hs.Protocols {
		if coded, ok := strings.CutPrefix(p, codec.TokenProtocol); ok {
			b, err := base64.RawURLEncoding.Strict().DecodeString(coded)
			if err != nil {
				return "", true
			}
			return bounded(string(b)), true
		}
	}
	_, query, _ := strings.Cut(hs.Path, "?")
	for pair := range strings.SplitSeq(query, "&") {
		if value, ok := strings.CutPrefix(pair, "access_token="); ok {
			value, err := url.QueryUnescape(value)
			if err != nil {
				return "", true
			}
			return bounded(value), true
		}
	}
	return "", false
}

// bounded returns a token, "" when it is longer than one in a handshake may be.
func bounded(token string) string {
	if len(token) > auth.MaxTokenUpgrade {
		return ""
	}
	return token
}

// prove lets v enter when it has proved who it is, if it wants to. hs is nil over TCP.
func (v *visitor) prove(hs *codec.Handshake, as *broker.Arrival) {
	desk := &v.gate.door.broker.Desk
	if !desk.Asks() || v.refusal != "" {
		v.enter(as)
		return
	}
	then := func(g *auth.Grant, err error) {
		// When the loop has ended, the door was closed before, and v with it.
		v.gate.room.Do(func() { v.proved(as, g, err) })
	}
	if hs != nil {
		if token, given := tokenOf(hs); given {
			v.suspend(as)
			desk.Check(token, then)
			return
		}
	}
	if v.session != nil {
		if shown := v.session.Peers(); len(shown) > 0 {
			v.suspend(as)
			desk.CheckCertificate(shown, then)
			return
		}
	}
	v.enter(as)
}

// suspend keeps what has arrived behind the handshake, and leaves the socket alone until proved.
func (v *visitor) suspend(as *broker.Arrival) {
	as.Rest = append([]byte(nil), as.Rest...)
	v.head = as.Rest
	v.recharge()
	v.gate.room.Forget(v.fd)
}

// watchAgain has the socket watched that was left alone while something was done beside the loop.
// When that cannot be, v is turned away, and it is false.
func (v *visitor) watchAgain() bool {
	if err := v.gate.room.Watch(v.fd, v); err != nil {
		v.failed(err.Error())
		v.turnAway("connection_limit")
		return false
	}
	return true
}

// proved goes on when credentials were checked.
func (v *visitor) proved(as *broker.Arrival, g *auth.Grant, err error) {
	defer v.gate.door.recovered(v.end)
	if v.gone {
		return
	}
	if !v.watchAgain() {
		return
	}
	d := v.gate.door
	if g, err = d.broker.Desk.Current(g, err); err != nil {
		if left := d.broker.Desk.Failed(v.remote.Addr()); left > 0 {
			d.refused(v.arrival, lockedOut)
			v.sayLast(d.refusalFor(v.transport, lockedOut, left))
			return
		}
		v.refuse(err.Error())
		return
	}
	if !d.broker.EnterAs(g.Identity) {
		v.refuse("identity")
		return
	}
	as.Grant = g
	if v.enter(as); as.Grant != nil { // nobody has taken it over
		d.broker.LeaveAs(g.Identity)
	}
}

const lockedOut = "locked_out"

// wholeSeconds rounds up, for Retry-After.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
