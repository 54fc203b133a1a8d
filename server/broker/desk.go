package broker

import (
	"errors"
	"net/netip"
	"time"

	"mbserver/server/auth"
	"mbserver/server/permit"
)

// Who is no connection and gives credentials: an operator at the node's HTTP listener. Nothing of
// this is called on a loop.

// errLockedOut is the reason of UNAUTHORIZED for an address from which too many wrong credentials
// came.
var errLockedOut = errors.New("locked_out")

// Anonymous returns what who gives no credentials may do, nil for everything; it is not ok where
// credentials are required. Any goroutine.
func (d *Desk) Anonymous() (rules *permit.Rules, ok bool) {
	a := d.broker.authority.Load()
	if a == nil {
		return nil, true
	}
	return a.Policy.Anonymous(), !a.Required
}

// Identify checks a token that came from an address, and waits until that is done. standing tells
// what its holder may do now, and is not ok when a reload has taken the token away or it has ended:
// it may be asked again and again. The error is a reason of UNAUTHORIZED (protocol §10); with
// locked_out, left is for how long. Any goroutine but a loop's.
func (d *Desk) Identify(token string, from netip.Addr) (
	identity string, standing func() (*permit.Rules, bool), left time.Duration, err error,
) {
	if d.broker.authority.Load() == nil {
		return "", nil, 0, auth.ErrInvalid
	}
	var g *auth.Grant
	done := make(chan struct{})
	d.Check(token, func(granted *auth.Grant, bad error) {
		g, err = granted, bad
		close(done)
	})
	<-done
	if err != nil {
		if left = d.Failed(from); left > 0 {
			err = errLockedOut
		}
		return "", nil, left, err
	}
	return g.Identity, func() (*permit.Rules, bool) { return d.standing(&g) }, 0, nil
}

// standing is what who holds a grant may do now; the grant is brought up to date.
func (d *Desk) standing(held **auth.Grant) (*permit.Rules, bool) {
	a, now := d.broker.authority.Load(), d.now()
	g := *held
	if !a.Verifier.Gave(g) {
		if g = a.Verifier.Again(g, now); g == nil {
			return nil, false
		}
		*held = g
	}
	if !g.Expires.IsZero() && !now.Before(g.Expires) {
		return nil, false
	}
	return a.rulesOf(g), true
}
