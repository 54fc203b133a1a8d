package auth

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// Certificate is how clients' certificates are checked.
type Certificate struct {
	CA       string // path of the authorities' certificates in PEM; "" : none is accepted
	Identity string // SubjectIdentity, CommonName or AlternativeName
}

// What the identity of a certificate is.
const (
	SubjectIdentity = "subject" // the whole subject as RFC 4514 writes it
	CommonName      = "cn"
	AlternativeName = "san" // the first DNS name, else URI, e-mail address, IP address
)

// authority checks clients' certificates. Immutable.
type authority struct {
	print [sha256.Size]byte // of what it is made of
	roots *x509.CertPool
	name  func(*x509.Certificate) string
}

// newAuthority returns nil when none is configured.
func newAuthority(c Certificate) (*authority, error) {
	if c.CA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, err
	}
	a := &authority{
		print: sha256.Sum256(append([]byte(c.Identity+"\x00"), text...)), roots: x509.NewCertPool(),
	}
	if !a.roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificate in it", c.CA)
	}
	switch c.Identity {
	case SubjectIdentity, "":
		a.name = func(c *x509.Certificate) string { return c.Subject.String() }
	case CommonName:
		a.name = func(c *x509.Certificate) string { return c.Subject.CommonName }
	case AlternativeName:
		a.name = alternativeName
	default:
		return nil, fmt.Errorf("identity %q is none of subject, cn, san", c.Identity)
	}
	return a, nil
}

func alternativeName(c *x509.Certificate) string {
	switch {
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.EmailAddresses) > 0:
		return c.EmailAddresses[0]
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	}
	return ""
}

// Certificate checks the certificates that a client sent in its handshake, its own first. The error
// is ErrInvalid or ErrExpired; ErrInvalid too where none are accepted.
func (v *Verifier) Certificate(sent []*x509.Certificate, now time.Time) (*Grant, error) {
	if v.certificate == nil || len(sent) == 0 {
		return nil, ErrInvalid
	}
	g, err := v.certificate.verify(sent[0], sent[1:], now)
	if g != nil {
		g.by = v.number
	}
	return g, err
}

func (a *authority) verify(leaf *x509.Certificate, via []*x509.Certificate, now time.Time) (
	*Grant, error,
) {
	between := x509.NewCertPool()
	for _, c := range via {
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: a.roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		var bad x509.CertificateInvalidError
		if errors.As(err, &bad) && bad.Reason == x509.Expired && now.After(leaf.NotAfter) {
			return nil, ErrExpired
		}
		return nil, ErrInvalid
	}
	identity := a.name(leaf)
	if checkIdentity(identity) != nil {
		return nil, ErrInvalid
	}
	return &Grant{
		Identity: identity, Expires: latest(chains), leaf: leaf, via: via, under: a.print,
	}, nil
}

// latest is when the last of several chains ends; a chain ends with the first of its certificates.
func latest(chains [][]*x509.Certificate) (end time.Time) {
	for _, chain := range chains {
		first := chain[0].NotAfter
		for _, c := range chain[1:] {
			if c.NotAfter.Before(first) {
				first = c.NotAfter
			}
		}
		if first.After(end) {
			end = first
		}
	}
	return end
}
