package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"mbserver/codec"
)

// Who the client is (protocol §10).
//
// Purpose. A token is asked for when it is needed, shown once on each connection, and replaced
// before it ends; nobody else ever sees it, errors and logs included.
//
// Outline. connect asks the source once for all addresses. Over WebSocket the token goes with the
// handshake, over TCP (and when it is too long for that) it is the first message behind the
// broker's welcome: whoever is no broker gets none. Before who the connection is ends, the broker
// says so (expiring), and the source is asked again in the background. What was refused is told to
// OnError or the logger, and tried again with a long back-off (refusalPause).

const (
	// maxUpgradeToken is the longest token that a WebSocket handshake may carry, in bytes; longer
	// ones go by system.auth.
	maxUpgradeToken = 4 << 10
	// maxToken is the longest token there may be, in bytes.
	maxToken = 8 << 10

	// renewalPause is the least time between two attempts to renew.
	renewalPause = 50 * time.Millisecond
	// maxRefusals is how many wrong tokens one connection shows: the broker ends it at the third.
	maxRefusals = 2

	// Bounds of the wait after refused credentials.
	refusalPauseMin = 30 * time.Second
	refusalPauseMax = 5 * time.Minute
	// maxLockout is the longest that a broker's wish to be left alone counts.
	maxLockout = time.Hour
)

// identification is who a connection is, as the broker says it.
type identification struct {
	Required  bool      `json:"required"`
	Identity  string    `json:"identity"`  // "": nobody in particular
	ExpiresAt time.Time `json:"expiresAt"` // zero: never
}

// WithToken proves who the client is, on every connection: as a bearer token of
// the WebSocket handshake, or with system.auth over TCP (protocol §10). A token
// has at most 8 KiB; white space around it is not part of it, and "" is none.
// One that ends, or is taken away, is better given by [WithTokenSource].
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithTokenSource is [WithToken] for tokens that change: f is asked before each
// attempt to connect, and again when the broker says that who the client is
// ends soon; with the answer it is renewed, and the connection stays. f may
// keep a token that is still good and give it again, return "" for none, and
// should be done soon: it has what is left of [WithDialTimeout] or of the old
// token's time, after which ctx ends. It is called on one goroutine while the
// client connects, and on another while it renews, not on that of callbacks; it
// may be called again when ctx has ended and it has not returned.
//
// An error of f fails the attempt, as an [ErrUnauthorized] that wraps it.
func WithTokenSource(f func(ctx context.Context) (token string, err error)) Option {
	return func(o *options) { o.token = f }
}

// Identity returns who the client is to the broker, by its token or its
// certificate; "" when it did not say, or asks nobody. Between two connections
// it is that of the last.
func (c *Client) Identity() string { return c.identification().Identity }

// ExpiresAt returns when [Client.Identity] ends unless it is renewed; the zero
// time: never.
func (c *Client) ExpiresAt() time.Time { return c.identification().ExpiresAt }

func (c *Client) identification() identification {
	if id := c.last.Load().identified.Load(); id != nil {
		return *id
	}
	return identification{}
}

// askToken returns the token to show; "" is none.
func (c *Client) askToken(ctx context.Context) (string, error) {
	if c.options.token == nil {
		return "", nil
	}
	token, err := c.options.token(ctx)
	if err != nil {
		return "", &Error{Code: codec.Unauthorized, Message: "no token: " + err.Error(), cause: err}
	}
	token = strings.TrimSpace(token)
	fault := ""
	switch {
	case len(token) > maxToken:
		fault = fmt.Sprintf("the token has %d bytes, at most %d", len(token), maxToken)
	case !utf8.ValidString(token), strings.ContainsFunc(token, func(r rune) bool {
		return r < ' ' || r == 0x7f
	}):
		fault = "the token holds what is no text: is it from another file?"
	}
	if fault != "" {
		return "", &Error{Code: codec.Unauthorized, Message: fault,
			Details: map[string]any{"reason": "invalid"}}
	}
	return token, nil
}

// introduce waits for the welcome and says who the client is.
func (l *link) introduce(ctx context.Context, token string) error {
	select {
	case <-l.ready:
	case <-l.dead:
		return l.cause
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errNoWelcome, ctx.Err())
	}
	told := l.welcome.Auth
	l.identified.Store(told)
	if token != "" && (!l.ws || len(token) > maxUpgradeToken) {
		return l.identify(ctx, token)
	}
	if told != nil && told.Required && told.Identity == "" {
		return &Error{Code: codec.Unauthorized,
			Message: "the broker wants to know who this is: WithToken, or a certificate in WithTLS",
			Details: map[string]any{"reason": "required"}}
	}
	return nil
}

// identify shows the token as a message.
func (l *link) identify(ctx context.Context, token string) error {
	answer, err := l.call(ctx, systemFrame(topicAuth, mustJSON(map[string]string{"token": token})))
	if err != nil {
		return err
	}
	var id identification
	if json.Unmarshal(answer, &id) == nil && id.Identity != "" {
		l.identified.Store(&id)
	}
	return nil
}

// expiring hears that who this is ends soon. Reader only.
func (l *link) expiring(payload []byte) {
	var told struct {
		InMs int64 `json:"expiresInMs"`
	}
	c := l.client
	if c.options.token == nil || json.Unmarshal(payload, &told) != nil ||
		l.refusals.Load() >= maxRefusals ||
		!l.reidentifying.CompareAndSwap(false, true) {
		return
	}
	left := time.Duration(min(max(told.InMs, 1), int64(24*time.Hour/time.Millisecond))) *
		time.Millisecond
	c.spawn(func() {
		defer l.reidentifying.Store(false)
		l.reidentify(left)
	})
}

// reidentify renews who this is within the time that is left. It waits a part of it first, so that
// clients whose tokens end together do not all come at once.
func (l *link) reidentify(left time.Duration) {
	c := l.client
	end := time.Now().Add(left)
	ctx, cancel := context.WithDeadline(l.ctx, end)
	defer cancel()
	for wait := rand.N(left/4 + 1); l.pause(wait); {
		err := l.reidentifyOnce(ctx)
		left = time.Until(end)
		if err == nil || left <= 0 || l.ctx.Err() != nil {
			return
		}
		c.complain(err, "mb client: who this is could not be renewed")
		after, again := RetryAfter(err)
		var refused *Error
		if !again && errors.As(err, &refused) && refused.cause == nil {
			if l.refusals.Add(1) >= maxRefusals {
				return // The next connection asks again.
			}
		}
		wait = max(after, left/8+rand.N(left/8+1), renewalPause)
	}
}

func (l *link) reidentifyOnce(ctx context.Context) error {
	token, err := l.client.askToken(ctx)
	if err != nil {
		return err
	}
	before := l.identified.Load()
	if token != "" {
		if err := l.identify(ctx, token); err != nil {
			return err
		}
	}
	now := l.identified.Load()
	if before != nil && now != nil && !now.ExpiresAt.IsZero() &&
		!now.ExpiresAt.After(before.ExpiresAt) && !l.warned {
		l.warned = true
		l.client.complain(&Error{Code: codec.Unauthorized,
			Message: "who this is ends " + now.ExpiresAt.Format(time.RFC3339) +
				", and the token to renew it with lasts no longer",
			Details: map[string]any{"reason": "expiring"}},
			"mb client: who this is ends soon")
	}
	return nil
}

// lastWord keeps the error with which the broker ends a connection: its cause, not something to
// report beside it. Reader only.
func (l *link) lastWord(e *Error) bool {
	if e.RequestID != "" {
		return false
	}
	switch e.Details["reason"] {
	case "expired", "revoked", "required":
		if e.Code != codec.Unauthorized {
			return false
		}
	case kicked:
		if e.Code != codec.Forbidden {
			return false
		}
	default:
		return false
	}
	l.said = e
	return true
}

// kicked is the reason when an operator has closed the connection.
const kicked = "kicked"

// kickPause is how long to wait after an operator has closed the connection, which stood for so
// long: longer each time, unless it stood longer than the longest pause. 0: err is something else.
// Supervise only.
func (c *Client) kickPause(err error, stood time.Duration) time.Duration {
	var e *Error
	if !errors.As(err, &e) || e.Code != codec.Forbidden || e.Details["reason"] != kicked {
		return 0
	}
	if stood > c.options.refusalMax {
		c.kicks = 0
	}
	c.kicks++
	return c.refusalPause(c.kicks-1, e)
}

// ended is why the reader has stopped. Reader only.
func (l *link) ended(err error) error {
	if l.said != nil {
		return l.said
	}
	return err
}

// complain tells an error that answers no call to OnError, else to the log.
func (c *Client) complain(err error, what string) {
	var e *Error
	if errors.As(err, &e) && c.options.onError != nil {
		c.report(e)
		return
	}
	c.options.logger.Error(what, "error", err)
}

// refusalPause is how long to wait after the broker has refused who this is for the nth time in a
// row, 0 the first: every attempt counts against this address, and others may share it. 0: err is
// something else.
func (c *Client) refusalPause(n int, err error) time.Duration {
	var e *Error
	if !errors.Is(err, ErrUnauthorized) && !errors.Is(err, ErrForbidden) ||
		!errors.As(err, &e) || e.cause != nil {
		return 0
	}
	d := c.options.refusalMax
	if grown := c.options.refusalMin << min(n, 20); grown > 0 && grown < d {
		d = grown
	}
	if ms, ok := e.Details["retryAfterMs"].(float64); ok {
		ms = min(max(ms, 1), float64(maxLockout/time.Millisecond))
		return spread(time.Duration(ms)*time.Millisecond, c.options.backoffMin)
	}
	return d/2 + rand.N(d/2+1)
}
