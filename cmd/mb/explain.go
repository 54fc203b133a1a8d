package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"mbserver/client"
)

// schemes are those of addresses of brokers.
var schemes = []string{"tcp", "ws", "tls", "wss"}

const (
	// greetingBytes is how much of what a server says first is kept.
	greetingBytes = 32
	// overhearing bounds listening for a greeting after a failed connection.
	overhearing = time.Second
)

// greeting is what the server that was dialled last said first: it tells who
// speaks there when it is no broker, or not as it was asked. Any goroutine.
type greeting struct {
	mu    sync.Mutex
	first []byte
}

// greeted is a connection whose first bytes are noted. What TCP can do beyond
// net.Conn, it can.
type greeted struct {
	*net.TCPConn
	to   *greeting
	done bool // reader only
}

func (g *greeting) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.first = nil
	g.mu.Unlock()
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &greeted{TCPConn: tcp, to: g}, nil
	}
	return conn, nil
}

func (c *greeted) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if !c.done && n > 0 {
		c.done = c.to.note(p[:n])
	}
	return n, err
}

// note keeps the beginning and reports whether that is all it wants.
func (g *greeting) note(p []byte) (enough bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.first = append(g.first, p[:min(len(p), greetingBytes-len(g.first))]...)
	return len(g.first) == greetingBytes
}

func (g *greeting) said() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.first
}

// connectError says why there is no connection and what to try.
type connectError struct {
	text string
	err  error
}

func (e *connectError) Error() string { return e.text }

func (e *connectError) Unwrap() error { return e.err }

// explain makes of an error of client.Dial what a user can act on; said is what
// was heard from the server.
func explain(
	ctx context.Context, server string, said []byte, timeout time.Duration, err error,
) error {
	if strings.Contains(server, ",") {
		return err // of several servers, each with its own reason
	}
	u, parsed := url.Parse(server)
	if parsed != nil {
		return err
	}
	if meant, ok := map[string]string{
		"http": "ws", "https": "wss", "mqtt": "tcp", "nats": "tcp", "redis": "tcp",
		"mqtts": "tls", "rediss": "tls",
	}[strings.ToLower(u.Scheme)]; ok {
		return &connectError{fmt.Sprintf("%v; try %s://%s", err, meant, u.Host), err}
	}
	if !slices.Contains(schemes, u.Scheme) {
		return err
	}
	var refused *client.Error
	if errors.As(err, &refused) {
		if !strings.Contains(refused.Message, "handshake was refused") {
			return err
		}
		text := fmt.Sprintf("cannot connect to %s: %s; is that a broker's port for %s? A node's "+
			"is 3000 unless told otherwise", u.Redacted(), refused.Message, u.Scheme)
		return &connectError{text, err}
	}
	if len(said) == 0 && u.Scheme != "tcp" && !neverStood(err) {
		said = overhear(ctx, u.Host)
	}
	what, try := reason(u, said, timeout, err)
	if what == "" {
		return err
	}
	return &connectError{fmt.Sprintf("cannot connect to %s: %s; %s", u.Redacted(), what, try), err}
}

// neverStood reports whether there was no connection at all.
func neverStood(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// overhear connects once more and only listens: a broker that speaks TCP greets,
// and is too busy with what is not MB when it hears something else first.
func overhear(ctx context.Context, host string) []byte {
	ctx, cancel := context.WithTimeout(ctx, overhearing)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }() // Nothing was sent.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	first := make([]byte, greetingBytes)
	n, _ := io.ReadAtLeast(conn, first, greetingBytes) // What came counts.
	return first[:n]
}

// reason says what went wrong in words and what to try; "" when it does not know.
func reason(u *url.URL, said []byte, timeout time.Duration, err error) (what, try string) {
	if what, try = spoken(u, said); what != "" {
		return what, try
	}
	var name *net.DNSError
	var slow net.Error
	var wrongHost x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var alert *net.OpError
	const trust = "--tls-ca FILE trusts those in FILE, --tls-insecure any"
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused",
			"is a node running there? mb-server starts one, --server or MB_SERVER names another"
	case errors.As(err, &name):
		return "no address is known for " + name.Name, "is the name right?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to that address", "is the network up, and the address right?"
	case errors.As(err, &wrongHost):
		return "the certificate is for another name: " + certificateText(wrongHost),
			"connect by a name that it has, or tell it with --tls-server-name NAME"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate is not valid now: " + certificateText(invalid),
			"renew it, or set this machine's clock; --tls-insecure takes any"
	case errors.As(err, &unknown):
		return "the certificate is not trusted: " + certificateText(unknown), trust
	case errors.As(err, &invalid):
		return "the certificate is not trusted: " + certificateText(invalid), trust
	case strings.Contains(err.Error(), "tls: certificate required"):
		return "the broker wants to be shown a certificate", "--tls-cert FILE and --tls-key FILE do"
	case errors.As(err, &alert) && alert.Op == "remote error":
		return "the broker ends the TLS handshake: " + alert.Err.Error(),
			"does it take the certificate of --tls-cert, and TLS 1.2 or 1.3?"
	case strings.Contains(err.Error(), "no system.initialize"):
		return fmt.Sprintf("no greeting came within %v", timeout),
			"is that a broker's port for " + u.Scheme + "? " + otherSchemes(u)
	case errors.As(err, &slow) && slow.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %v", timeout),
			"is the address right, and no firewall between? --timeout waits longer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, client.ErrDisconnected):
		return "the connection was closed without a greeting",
			"is that a broker's port for " + u.Scheme + "? " + otherSchemes(u)
	}
	return "", ""
}

// certificateText is what crypto/x509 says, without its name, and without what is around it.
func certificateText(err error) string { return strings.TrimPrefix(err.Error(), "x509: ") }

// spoken recognises who else answered.
func spoken(u *url.URL, said []byte) (what, try string) {
	to := func(scheme string) string { return "try " + scheme + "://" + u.Host }
	overTCP := len(said) > 12 && said[0] == 0 && bytes.HasPrefix(said[4:], []byte("publish:"))
	switch web := u.Scheme == "ws" || u.Scheme == "wss"; {
	case bytes.HasPrefix(said, []byte("HTTP/")) && u.Scheme != "ws":
		return "HTTP is spoken there", to("ws")
	case overTCP && u.Scheme != "tcp":
		return "a broker is there, but it speaks TCP", to("tcp")
	case bytes.HasPrefix(said, []byte{0x15, 0x03}) && web && u.Scheme == "ws":
		return "TLS is spoken there", to("wss")
	case bytes.HasPrefix(said, []byte{0x15, 0x03}) && u.Scheme == "tcp":
		return "TLS is spoken there", to("tls")
	case len(said) > 0 && said[0] != 0x15 && said[0] != 0x16 &&
		!bytes.HasPrefix(said, []byte("HTTP/")) && !overTCP:
		return fmt.Sprintf("no broker is there, but what begins with %q", said),
			"is the port right?"
	}
	return "", ""
}

// otherSchemes names what else may be spoken at a port that does not greet.
func otherSchemes(u *url.URL) string {
	var all []string
	for _, scheme := range schemes {
		if scheme != u.Scheme {
			all = append(all, scheme+"://"+u.Host)
		}
	}
	return "Try " + strings.Join(all[:2], ", ") + " or " + all[2]
}
