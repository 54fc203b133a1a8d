package broker

import (
	"crypto/x509"
	"net/netip"
	"sync/atomic"
	"time"

	"mbserver/server/auth"
	"mbserver/server/origin"
	"mbserver/server/permit"
)

// Authority is who may connect to a node and what they may do there. Immutable; a reload makes
// another.
type Authority struct {
	Verifier *auth.Verifier
	Policy   *permit.Policy // nil: everything is permitted
	Required bool           // who is not authenticated may do nothing
}

// asks says whether it makes any difference who somebody is.
func (a *Authority) asks() bool {
	return a != nil && (a.Required || a.Policy != nil || a.Verifier.Configured())
}

// rulesOf returns what who holds a grant may do; nil is who gave no credentials.
func (a *Authority) rulesOf(g *auth.Grant) *permit.Rules {
	if g == nil {
		return a.Policy.Anonymous()
	}
	return a.Policy.Rules(g.Identity, g.Roles)
}

// against returns what is left of what who holds a grant of an earlier authority may do.
func (a *Authority) against(g *auth.Grant, now time.Time) *permit.Rules {
	if g != nil {
		if g = a.Verifier.Again(g, now); g == nil {
			return permit.None
		}
	}
	return a.rulesOf(g)
}

// PerIdentity is how many connections one identity may have; 0: any number. Any goroutine.
func (b *Broker) PerIdentity() int { return b.identities.most }

// EnterAs counts a connection of an identity more that is about to be opened, unless it has as many
// as it may. Any goroutine.
func (b *Broker) EnterAs(identity string) bool {
	return b.identities.most == 0 || b.identities.take(identity)
}

// LeaveAs undoes EnterAs for a connection that was not opened. Any goroutine.
func (b *Broker) LeaveAs(identity string) {
	if b.identities.most > 0 {
		b.identities.giveBack(identity)
	}
}

// Desk is where credentials are checked, beside the loops; what it knows of wrong ones.
type Desk struct {
	// Immutable after New.
	broker  *Broker
	lockout *auth.Lockout

	now func() time.Time
	do  func(func()) // beside the loops

	work   auth.Workers
	failed atomic.Uint64 // wrong credentials that came, ever
}

func (d *Desk) init(b *Broker, lockout *auth.Lockout) {
	d.broker, d.lockout, d.now, d.do = b, lockout, time.Now, d.work.Do
}

// Check has a token checked, and f called with what it is good for, on a goroutine of its own: f
// must not wait for a loop. Any goroutine.
func (d *Desk) Check(token string, f func(*auth.Grant, error)) {
	d.do(func() { f(d.broker.authority.Load().Verifier.Token(token, d.now())) })
}

// CheckCertificate is Check for the certificates that a client has shown, its own first.
func (d *Desk) CheckCertificate(shown []*x509.Certificate, f func(*auth.Grant, error)) {
	d.do(func() { f(d.broker.authority.Load().Verifier.Certificate(shown, d.now())) })
}

// Current returns what the outcome of Check is now: a reload may have come between. It is
// ErrInvalid when the authority that the node has now would not give the grant. On the loop on
// which the connection is or will be: a later reload looks at that anew.
func (d *Desk) Current(g *auth.Grant, err error) (*auth.Grant, error) {
	if err != nil {
		return nil, err
	}
	v := d.broker.authority.Load().Verifier
	if v.Gave(g) {
		return g, nil
	}
	if g = v.Again(g, d.now()); g == nil {
		return nil, auth.ErrInvalid
	}
	return g, nil
}

// Asks says whether it makes any difference who somebody is. Any goroutine.
func (d *Desk) Asks() bool { return d.broker.authority.Load().asks() }

// Failed notes that wrong credentials came from an address. When it was locked out already, it
// returns for how long it still is. Any goroutine.
func (d *Desk) Failed(addr netip.Addr) (left time.Duration) {
	d.failed.Add(1)
	d.broker.ills.wrong.Note(d.broker.NowMs())
	if d.broker.trusted(addr) {
		return 0 // others come from there too
	}
	left, became := d.lockout.Failed(addr, d.now())
	if became {
		client := origin.Network(addr).String()
		d.broker.modules.auth.Info("locked out: "+client, "remote", client)
	}
	return left
}
