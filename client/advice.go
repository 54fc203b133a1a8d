package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
)

// attemptError says why there is no connection to an address, and what to try.
type attemptError struct {
	address *url.URL
	advice  string // "" when there is none to give
	err     error
}

func (e *attemptError) Error() string {
	shown := *e.address
	shown.RawQuery = "" // A token may be in it.
	text := fmt.Sprintf("connecting to %s: %v", shown.Redacted(), e.err)
	if e.advice != "" {
		text += " (" + e.advice + ")"
	}
	return text
}

func (e *attemptError) Unwrap() error { return e.err }

// overheard keeps the beginning of what a peer says to the WebSocket handshake.
type overheard struct {
	io.ReadWriter
	first []byte
}

// overheardBytes is how much tells who speaks.
const overheardBytes = 16

func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadWriter.Read(p)
	o.first = append(o.first, p[:min(n, overheardBytes-len(o.first))]...)
	return n, err
}

// advise says what to try after err; said is what the peer said first, "" when
// that is not known.
func advise(address *url.URL, said []byte, err error) string {
	var header tls.RecordHeaderError
	if errors.As(err, &header) {
		said = header.RecordHeader[:]
	}
	var name x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var alert *net.OpError
	switch {
	case errors.As(err, &name):
		return "connect by a name that the certificate has, or set ServerName in WithTLS"
	case errors.As(err, &unknown):
		return "RootCAs in WithTLS trusts another authority than the system's"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew it, or set the clock of this machine"
	case errors.As(err, &alert) && alert.Op == "remote error":
		return adviseAlert(alert.Err.Error())
	case len(said) > 0:
		return adviseSpoken(address, said, errors.As(err, &header))
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, errNoWelcome) && errors.Is(err, context.DeadlineExceeded):
		return "is that a port for the scheme " + address.Scheme + "? Perhaps it is for " +
			strings.Join(otherSchemes(address.Scheme), ", ")
	}
	return ""
}

// adviseAlert is for what the peer's TLS complains of (RFC 8446 §6.2); which
// alert it was, crypto/tls tells in its text alone.
func adviseAlert(text string) string {
	switch {
	case strings.Contains(text, "certificate required"):
		return "the broker wants a certificate of the client: Certificates in WithTLS"
	case strings.Contains(text, "unknown certificate authority"),
		strings.Contains(text, "bad certificate"), strings.Contains(text, "expired certificate"):
		return "the broker does not take the client's certificate"
	}
	return ""
}

// adviseSpoken knows who speaks by how it begins.
func adviseSpoken(address *url.URL, said []byte, plain bool) string {
	try := func(what, scheme string) string {
		if address.Scheme == scheme {
			return ""
		}
		return fmt.Sprintf("%s: try %s://%s", what, scheme, address.Host)
	}
	// A broker over TCP greets at once: four bytes of length, of which the first are 0, and a
	// message (protocol §1).
	greets := len(said) >= 5 && said[0] == 0 && said[4] == 'p'
	switch {
	case greets && plain:
		return try("no TLS is spoken there, but TCP", "tcp")
	case greets:
		meant := map[string]string{"ws": "tcp", "wss": "tls"}[address.Scheme]
		return try("TCP is spoken there", meant)
	case bytes.HasPrefix(said, []byte("HTTP/")) && plain:
		return try("no TLS is spoken there, but HTTP", "ws")
	case bytes.HasPrefix(said, []byte{21, 3}): // an alert (RFC 8446 §5.1)
		return try("TLS is spoken there", "wss")
	case plain:
		return fmt.Sprintf("no TLS is spoken there, but what begins with %q", said)
	}
	return ""
}

func otherSchemes(scheme string) (all []string) {
	for _, other := range []string{"tcp", "ws", "tls", "wss"} {
		if other != scheme {
			all = append(all, other)
		}
	}
	return all
}
