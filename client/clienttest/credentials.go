package clienttest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"mbserver/codec"
)

// tokenProtocol is what a subprotocol that carries a token begins with (protocol §10).
const tokenProtocol = "mb.token."

// Grant says who a token proves somebody to be.
type Grant struct {
	Identity string
	Expires  time.Time // zero: never. The broker says so; to end it is the test's: see Dismiss
}

// Refusal says why a token is refused.
type Refusal struct {
	Code       codec.Code    // "": UNAUTHORIZED
	Reason     string        // as protocol §10 has it: "invalid", "expired", "locked_out", …
	RetryAfter time.Duration // 0: not said
}

func (r *Refusal) code() codec.Code {
	if r.Code == "" {
		return codec.Unauthorized
	}
	return r.Code
}

func (r *Refusal) details() map[string]any {
	details := map[string]any{"reason": r.Reason}
	if r.RetryAfter > 0 {
		details["retryAfterMs"] = r.RetryAfter.Milliseconds()
	}
	return details
}

// response is the refusal of a WebSocket handshake.
func (r *Refusal) response() []byte {
	status, body := 401, append(errorBody(r.code(), "refused", r.details()), '\n')
	switch {
	case r.RetryAfter > 0:
		status = 429
	case r.code() == codec.Forbidden:
		status = 403
	}
	if r.RetryAfter == 0 {
		return codec.AppendHTTPError(nil, status, body)
	}
	seconds := int(math.Ceil(r.RetryAfter.Seconds()))
	return codec.AppendHTTPError(nil, status, body, "Retry-After: "+strconv.Itoa(seconds))
}

// upgrade does a WebSocket handshake, and takes the token that comes with it.
func (c *Conn) upgrade(conn net.Conn) bool {
	var token string
	given := false
	note := func(text string) bool {
		token, given = text, true
		return true
	}
	u := ws.Upgrader{
		OnHeader: func(key, value []byte) error {
			name := string(key)
			scheme, text, _ := strings.Cut(string(value), " ")
			if strings.EqualFold(name, "Authorization") && strings.EqualFold(scheme, "Bearer") {
				note(text)
			}
			return nil
		},
		Protocol: func(offered []byte) bool {
			coded, is := strings.CutPrefix(string(offered), tokenProtocol)
			if text, err := base64.RawURLEncoding.DecodeString(coded); is && err == nil && !given {
				note(string(text))
			}
			return !is
		},
	}
	var answer bytes.Buffer
	_, err := u.Upgrade(struct {
		io.Reader
		io.Writer
	}{conn, &answer})
	if err == nil && given && c.broker.options.Authenticate != nil {
		if refusal := c.identify(token); refusal != nil {
			_, _ = conn.Write(refusal.response()) // The client may be gone.
			return false
		}
	}
	if _, failed := conn.Write(answer.Bytes()); err == nil {
		err = failed
	}
	return err == nil
}

// identify asks the test who has the token.
func (c *Conn) identify(token string) *Refusal {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	return c.identifyLocked(token)
}

func (c *Conn) identifyLocked(token string) *Refusal {
	c.token = token
	grant, refusal := c.broker.options.Authenticate(token)
	if refusal == nil && c.grant != nil && c.grant.Identity != grant.Identity {
		refusal = &Refusal{Code: codec.Forbidden, Reason: "identity"}
	}
	if refusal == nil {
		c.grant = &grant
	}
	return refusal
}

// authenticate takes system.auth, and whatever comes from who is not known; false: it is neither.
// With the broker's lock.
func (b *Broker) authenticate(c *Conn, h *codec.Header, payload []byte) bool {
	topic := strings.ToLower(string(h.Topic))
	switch {
	case b.options.Authenticate == nil && topic == "system.auth": // Whoever it is is welcome.
		c.Send("response:"+topic+":1.0.0:"+string(h.RequestID), []byte(`{"status":"success"}`))
		return true
	case b.options.Authenticate == nil:
		return false
	case topic == "system.auth":
		var fields struct{ Token string }
		if json.Unmarshal(payload, &fields) != nil {
			c.refuse(h, codec.MalformedMessage, "the payload is not a JSON object")
			return true
		}
		if refusal := c.identifyLocked(fields.Token); refusal != nil {
			c.fail(topic, "1.0.0", string(h.RequestID), refusal.code(), "refused",
				refusal.details())
			return true
		}
		answer := c.grant.fields()
		answer["status"] = "success"
		c.Send("response:"+topic+":1.0.0:"+string(h.RequestID), marshal(answer))
		return true
	case c.grant == nil && topic != "system.heartbeat":
		c.fail(string(h.Topic), string(h.Version), string(h.RequestID), codec.Unauthorized,
			"who is this?", map[string]any{"reason": "required"})
		return true
	}
	return false
}

// fields is what a client is told of who it is; nil is nobody.
func (g *Grant) fields() map[string]any {
	fields := map[string]any{}
	if g != nil {
		fields["identity"] = g.Identity
		if !g.Expires.IsZero() {
			fields["expiresAt"] = g.Expires.UTC().Format(codec.TimestampLayout)
		}
	}
	return fields
}

// Token returns the last token that the client has shown; "" when it has shown none.
func (c *Conn) Token() string {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	return c.token
}

// Identity returns who the connection is; "" when that is not known.
func (c *Conn) Identity() string {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	if c.grant == nil {
		return ""
	}
	return c.grant.Identity
}

// Expiring tells the client that who it is ends so soon.
func (c *Conn) Expiring(in time.Duration) {
	c.Send("publish:system.auth.expiring:1.0.0", marshal(map[string]any{
		"expiresAt":   time.Now().Add(in).UTC().Format(codec.TimestampLayout),
		"expiresInMs": in.Milliseconds(),
	}))
}

// Revoke ends the connection's subscription with the action and the pattern, and tells the client
// that it is not permitted any more.
func (c *Conn) Revoke(action, pattern string) {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	c.unsubscribe(action, pattern)
	c.Send("publish:system.topic.revoked:1.0.0", marshal(map[string]string{
		"action": action, "topic": pattern,
	}))
}

// Dismiss ends the connection as a broker does when who it is has ended: with an UNAUTHORIZED that
// has the reason, "expired" or "revoked"; or as an operator does, "kicked".
func (c *Conn) Dismiss(reason string) {
	code, message := codec.Unauthorized, "who this is has ended"
	if reason == "kicked" {
		code, message = codec.Forbidden, "an operator has closed this connection"
	}
	c.Send("response:error:1.0.0", errorBody(code, message, map[string]any{"reason": reason}))
	if c.ws {
		payload := codec.AppendClosePayload(nil, codec.ClosePolicy, reason)
		c.SendRaw(append(codec.AppendWSHeader(nil, codec.Close, len(payload)), payload...))
	}
	c.finish()
}
