package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"mbserver/codec"
)

// maxRefusal bounds the body read of a refused WebSocket handshake, in bytes.
const maxRefusal = 16 << 10

// parseAddresses takes one address or several with commas between them.
func parseAddresses(list string) ([]*url.URL, error) {
	var all []*url.URL
	for address := range strings.SplitSeq(list, ",") {
		u, err := parseAddress(strings.TrimSpace(address))
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

func parseAddress(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("broker address: %w", err)
	}
	switch u.Scheme {
	case "ws", "wss", "tcp", "tls":
	default:
		return nil, fmt.Errorf("broker address %q: must begin with ws://, wss://, tcp:// or tls://",
			address)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("broker address %q: no host", address)
	}
	if u.Port() == "" {
		ports := map[string]string{"ws": "3000", "wss": "8000", "tcp": "3001", "tls": "8001"}
		u.Host = net.JoinHostPort(u.Hostname(), ports[u.Scheme])
	}
	return u, nil
}

// connect makes one connection and waits for the welcome. It tries every
// address once, the one after the last that was used first, so that a broker
// that just failed is the last to be tried again; those that wanted to be left
// alone are, for that time. A connection to the node avoid is none ("": any).
func (c *Client) connect(ctx context.Context, avoid string) (_ *link, err error) {
	asked, cancel := c.boundAttempt(ctx)
	c.token, err = c.askToken(asked)
	cancel()
	if err != nil {
		return nil, err
	}
	var failed failures
	for range c.addresses {
		at := c.next % len(c.addresses)
		c.next++
		if time.Now().Before(c.resting[at]) {
			continue
		}
		c.address = c.addresses[at]
		l, err := c.connectOne(ctx, avoid)
		if err == nil {
			return l, nil
		}
		failed = append(failed, err)
		if after, again := RetryAfter(err); again && len(c.addresses) > 1 {
			c.resting[at] = time.Now().Add(after)
		}
		if ctx.Err() != nil {
			break
		}
	}
	switch len(failed) {
	case 0:
		return nil, errResting
	case 1:
		return nil, failed[0]
	}
	return nil, failed
}

// errResting: no address was tried, each had said when to come again.
var errResting = errors.New("it is too early to ask the broker again")

// failures are those of several addresses.
type failures []error

func (f failures) Error() string   { return errors.Join(f...).Error() }
func (f failures) Unwrap() []error { return f }

// boundAttempt bounds one step of an attempt to connect.
func (c *Client) boundAttempt(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.options.dialTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.options.dialTimeout)
}

func (c *Client) connectOne(ctx context.Context, avoid string) (*link, error) {
	ctx, cancel := c.boundAttempt(ctx)
	defer cancel()
	conn, early, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	l := c.newLink(conn, c.overWS())
	l.run(early)
	err = l.introduce(ctx, c.token)
	if err == nil && avoid != "" && l.welcome.NodeID == avoid {
		err = errSameNode
	}
	if err != nil {
		l.fail(err)
		l.gone.Wait()
		var refused *Error
		if errors.As(l.cause, &refused) {
			return nil, refused
		}
		return nil, c.failed(err, nil)
	}
	return l, nil
}

func (c *Client) overWS() bool { return c.address.Scheme == "ws" || c.address.Scheme == "wss" }

func (c *Client) overTLS() bool { return c.address.Scheme == "tls" || c.address.Scheme == "wss" }

// failed is err of the attempt at the address in use; said is what the peer
// said first, nil when that is not known.
func (c *Client) failed(err error, said []byte) error {
	return &attemptError{address: c.address, advice: advise(c.address, said, err), err: err}
}

// errNoWelcome: whoever is there did not greet as a broker does.
var errNoWelcome = errors.New("no system.initialize from the broker")

// secureConfig is what TLS connections are made with; nil when no address is of
// one. Own is the caller's, which stays as it is.
func secureConfig(addresses []*url.URL, own *tls.Config) *tls.Config {
	secure := func(u *url.URL) bool { return u.Scheme == "tls" || u.Scheme == "wss" }
	if !slices.ContainsFunc(addresses, secure) {
		return nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if own != nil {
		cfg = own.Clone()
	}
	if cfg.ClientSessionCache == nil {
		// Of this client alone, and one for each server name, of which there are no more.
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(len(addresses))
	}
	return cfg
}

// tlsConfig is that of the address in use.
func (c *Client) tlsConfig() *tls.Config {
	cfg := c.secure.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = c.address.Hostname()
	}
	if c.overWS() && cfg.NextProtos == nil {
		cfg.NextProtos = []string{"http/1.1"}
	}
	return cfg
}

// dial connects up to where messages begin. What the broker sent right behind a
// WebSocket handshake is returned with the connection.
func (c *Client) dial(ctx context.Context) (conn net.Conn, early []byte, err error) {
	conn, err = c.options.dial(ctx, "tcp", c.address.Host)
	if err != nil {
		return nil, nil, c.failed(err, nil)
	}
	below := conn
	if c.overTLS() {
		secure := tls.Client(conn, c.tlsConfig())
		if err = secure.HandshakeContext(ctx); err != nil {
			err = c.failed(err, nil)
		}
		conn = secure
	}
	if err == nil && c.overWS() {
		early, err = c.upgrade(ctx, conn)
	}
	if err != nil {
		_ = below.Close() // The handshake's error is the one to tell.
		return nil, nil, err
	}
	return conn, early, nil
}

// upgrade makes a WebSocket of the connection (RFC 6455 §4.1).
func (c *Client) upgrade(ctx context.Context, conn net.Conn) (early []byte, err error) {
	header := http.Header{}
	for name, values := range c.options.header {
		header[name] = values
	}
	if c.token != "" && len(c.token) <= maxUpgradeToken {
		header.Set("Authorization", "Bearer "+c.token)
	}
	var refused *Error
	d := ws.Dialer{
		Header: ws.HandshakeHeaderHTTP(header),
		OnStatusError: func(status int, reason []byte, resp io.Reader) {
			refused = refusal(status, string(reason), resp)
		},
	}
	target := *c.address
	if target.Path == "" {
		target.Path = "/"
	}
	below := kernelConn(conn) // Its end does not wait, as that of TLS may.
	stop := context.AfterFunc(ctx, func() { _ = below.Close() })
	heard := &overheard{ReadWriter: conn}
	br, _, err := d.Upgrade(heard, &target)
	if !stop() {
		err = ctx.Err() // The connection is closed, whatever came of it.
	}
	if br != nil {
		defer ws.PutReader(br)
	}
	switch {
	case refused != nil:
		return nil, refused
	case err != nil:
		return nil, c.failed(err, heard.first)
	case br == nil:
		return nil, nil
	}
	early = make([]byte, br.Buffered())
	if _, err := io.ReadFull(br, early); err != nil {
		return nil, c.failed(err, nil)
	}
	return early, nil
}

// refusal is the broker's reason for not upgrading (protocol §4): the error
// object in the body, or what the status means.
func refusal(status int, reason string, resp io.Reader) *Error {
	e := &Error{Code: codec.InternalError,
		Message: fmt.Sprintf("the WebSocket handshake was refused: %d %s", status, reason)}
	switch status {
	case http.StatusUnauthorized:
		e.Code = codec.Unauthorized
	case http.StatusForbidden:
		e.Code = codec.Forbidden
	case http.StatusTooManyRequests:
		e.Code = codec.RateLimitExceeded
	case http.StatusServiceUnavailable:
		e.Code = codec.ServiceUnavailable
	}
	answer, err := http.ReadResponse(bufio.NewReader(resp), nil)
	if err != nil {
		return e
	}
	defer func() { _ = answer.Body.Close() }() // Nothing to lose.
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
	if said := parseError(body, "", ""); err == nil && said != nil {
		e = said
	}
	after, told := retryAfter(answer.Header)
	if _, better := e.Details["retryAfterMs"]; told && !better {
		if e.Details == nil {
			e.Details = make(map[string]any)
		}
		e.Details["retryAfterMs"] = float64(after.Milliseconds())
	}
	return e
}

// retryAfter reads Retry-After, which whoever stands before the broker may send
// too: seconds or a time (RFC 9110 §10.2.3).
func retryAfter(h http.Header) (after time.Duration, told bool) {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(text)
	return max(time.Until(at), 0), err == nil
}
