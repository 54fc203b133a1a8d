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
	"strings"

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
// that just failed is the last to be tried again.
func (c *Client) connect(ctx context.Context) (*link, error) {
	var failed []error
	for range c.addresses {
		c.address = c.addresses[c.next%len(c.addresses)]
		c.next++
		l, err := c.connectOne(ctx)
		if err == nil {
			return l, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(failed) == 1 {
		return nil, failed[0]
	}
	return nil, errors.Join(failed...)
}

// boundAttempt bounds one step of an attempt to connect.
func (c *Client) boundAttempt(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.options.dialTimeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.options.dialTimeout)
}

func (c *Client) connectOne(ctx context.Context) (*link, error) {
	ctx, cancel := c.boundAttempt(ctx)
	defer cancel()
	overWS := c.address.Scheme == "ws" || c.address.Scheme == "wss"
	dial := c.dialTCP
	if overWS {
		dial = c.dialWS
	}
	conn, early, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	l := c.newLink(conn, overWS)
	l.run(early)
	if err := l.introduce(ctx); err != nil {
		l.fail(err)
		l.gone.Wait()
		var refused *Error
		if errors.As(l.cause, &refused) {
			return nil, refused
		}
		return nil, fmt.Errorf("connecting to %s: %w", c.address.Redacted(), err)
	}
	return l, nil
}

// introduce waits for the welcome and presents the token.
func (l *link) introduce(ctx context.Context) error {
	select {
	case <-l.ready:
	case <-l.dead:
		return l.cause
	case <-ctx.Done():
		return fmt.Errorf("no system.initialize from the broker: %w", ctx.Err())
	}
	token := l.client.options.token
	if token == "" || l.ws {
		return nil
	}
	_, err := l.call(ctx, systemFrame(topicAuth, mustJSON(map[string]string{"token": token})))
	return err
}

func (c *Client) tlsConfig() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.options.tls != nil {
		cfg = c.options.tls.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = c.address.Hostname()
	}
	return cfg
}

func (c *Client) dialTCP(ctx context.Context) (net.Conn, []byte, error) {
	conn, err := c.options.dial(ctx, "tcp", c.address.Host)
	if err != nil {
		return nil, nil, err
	}
	if c.address.Scheme == "tcp" {
		return conn, nil, nil
	}
	secure := tls.Client(conn, c.tlsConfig())
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // The handshake's error is the one to tell.
		return nil, nil, err
	}
	return secure, nil, nil
}

// dialWS upgrades (RFC 6455 §4.1). What the broker sent right behind the
// handshake is returned with the connection.
func (c *Client) dialWS(ctx context.Context) (net.Conn, []byte, error) {
	header := http.Header{}
	for name, values := range c.options.header {
		header[name] = values
	}
	if c.options.token != "" {
		header.Set("Authorization", "Bearer "+c.options.token)
	}
	var refused *Error
	d := ws.Dialer{
		NetDial:   c.options.dial,
		TLSConfig: c.tlsConfig(),
		Header:    ws.HandshakeHeaderHTTP(header),
		OnStatusError: func(status int, reason []byte, resp io.Reader) {
			refused = refusal(status, string(reason), resp)
		},
	}
	target := *c.address
	if target.Path == "" {
		target.Path = "/"
	}
	conn, br, _, err := d.Dial(ctx, target.String())
	if err != nil {
		if conn != nil {
			_ = conn.Close() // The handshake's error is the one to tell.
		}
		if refused != nil {
			return nil, nil, refused
		}
		return nil, nil, fmt.Errorf("connecting to %s: %w", c.address.Redacted(), err)
	}
	if br == nil {
		return conn, nil, nil
	}
	defer ws.PutReader(br)
	early := make([]byte, br.Buffered())
	if _, err := io.ReadFull(br, early); err != nil {
		_ = conn.Close() // As above.
		return nil, nil, err
	}
	return conn, early, nil
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
		return said
	}
	return e
}
