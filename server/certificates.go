package server

import (
	"fmt"
	"time"

	"mbserver/server/broker"
)

// Certificates that expire within broker.ExpiryWarning are told of at the start, at each reload and
// each expiryLook.
const expiryLook = 24 * time.Hour

// watchExpiry looks at once, and each day, whether the certificate expires soon.
func (n *Node) watchExpiry() {
	if n.certificates == nil {
		return
	}
	n.noteExpiry(time.Now())
	n.expiry = time.AfterFunc(expiryLook, func() {
		n.noteExpiry(time.Now())
		n.expiry.Reset(expiryLook)
	})
}

// noteExpiry tells of a certificate that expires soon, and has metrics know when.
func (n *Node) noteExpiry(now time.Time) {
	at := n.certificates.Expiry()
	n.broker.TLS.SetExpiry(at)
	left := at.Sub(now)
	if left > broker.ExpiryWarning {
		return
	}
	when := fmt.Sprintf("the certificate of ssl.cert expires in %d days", left/(24*time.Hour))
	if left <= 0 {
		when = "the certificate of ssl.cert has expired: clients refuse it"
	}
	n.log.With("module", "config").Warn(
		when+"; SIGHUP reads a new one", "expires", at.UTC().Format(time.RFC3339))
}
