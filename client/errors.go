package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"mbserver/codec"
)

// Errors of the connection.
var (
	// ErrDisconnected: there is no connection to the broker, or it was lost
	// before the answer came.
	ErrDisconnected = errors.New("disconnected")
	// ErrClosed: the client was closed or drained. It is also an ErrDisconnected.
	ErrClosed error = &lostError{cause: errors.New("client closed")}
)

// Sentinels for errors.Is, one for each code of protocol §7.
var (
	ErrMalformed          error = sentinel(codec.MalformedMessage)
	ErrInvalidRequest     error = sentinel(codec.InvalidRequest)
	ErrInvalidRequestID   error = sentinel(codec.InvalidRequestID)
	ErrVersion            error = sentinel(codec.VersionNotSupported)
	ErrUnauthorized       error = sentinel(codec.Unauthorized)
	ErrForbidden          error = sentinel(codec.Forbidden)
	ErrTopicNotSupported  error = sentinel(codec.TopicNotSupported)
	ErrNoRoute            error = sentinel(codec.NoRouteFound)
	ErrServiceUnavailable error = sentinel(codec.ServiceUnavailable)
	ErrTimeout            error = sentinel(codec.Timeout)
	ErrRateLimited        error = sentinel(codec.RateLimitExceeded)
	ErrInternal           error = sentinel(codec.InternalError)
	ErrHandler            error = sentinel(CodeHandler)
)

// errLeft: the client has left the connection for another one; nothing was sent.
var errLeft error = &lostError{cause: errors.New("the client moves to another node")}

type sentinel codec.Code

func (s sentinel) Error() string { return string(s) }

// Error is an error answer of the broker or of a request handler, or one the
// client found itself before it sent anything (with the code the broker would
// have used). errors.Is compares it with the sentinels by code.
type Error struct {
	Code      Code
	Message   string
	Details   map[string]any // nil when there are none
	Topic     string         // of the message that was answered; "" when unknown
	RequestID string         // "" when unknown
	cause     error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	what := ""
	if topic, ok := e.Details["topic"].(string); ok && e.Code == codec.Forbidden {
		what = fmt.Sprint(e.Details["action"], " ", topic) // What was not permitted.
	} else if e.Topic != "" && !strings.Contains(e.Message, e.Topic) {
		what = "topic " + e.Topic
	}
	if what != "" {
		b.WriteString(" (")
		b.WriteString(what)
		b.WriteByte(')')
	}
	return b.String()
}

// Is reports whether target is the sentinel of e's code.
func (e *Error) Is(target error) bool {
	s, ok := target.(sentinel)
	return ok && codec.Code(s) == e.Code
}

// Unwrap gives the context's error when the client gave up waiting, and that of
// a token's source.
func (e *Error) Unwrap() error { return e.cause }

// lostError is what calls fail with when the connection is gone.
type lostError struct{ cause error }

func (e *lostError) Error() string {
	if e.cause == nil {
		return ErrDisconnected.Error()
	}
	return ErrDisconnected.Error() + ": " + e.cause.Error()
}

func (e *lostError) Is(target error) bool { return target == ErrDisconnected }
func (e *lostError) Unwrap() error        { return e.cause }

// lost wraps cause so that errors.Is(err, ErrDisconnected) holds.
func lost(cause error) error {
	if cause != nil && errors.Is(cause, ErrDisconnected) {
		return cause
	}
	return &lostError{cause: cause}
}

var errorPrefix = []byte(`{"error":`)

type errorObject struct {
	Error struct {
		Code    codec.Code     `json:"code"`
		Message string         `json:"message"`
		Details map[string]any `json:"details"`
	} `json:"error"`
}

// parseError returns the error that payload says in the form of protocol §7,
// or nil when it is something else. payload is not kept.
func parseError(payload []byte, topic, requestID string) *Error {
	payload = skipSpace(payload)
	if len(payload) == 0 || payload[0] != '{' {
		return nil
	}
	if !bytes.HasPrefix(payload, errorPrefix) &&
		!bytes.HasPrefix(skipSpace(payload[1:]), errorPrefix[1:8]) {
		return nil
	}
	var o errorObject
	if json.Unmarshal(payload, &o) != nil || o.Error.Code == "" {
		return nil
	}
	return &Error{
		Code: o.Error.Code, Message: o.Error.Message, Details: o.Error.Details,
		Topic: topic, RequestID: requestID,
	}
}

// skipSpace skips JSON's white space. Usually there is none, and that is quick to
// see: every answer comes by here.
func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

// errorPayload is what a handler's error is answered with.
func errorPayload(err error) []byte {
	e := &Error{Code: CodeHandler, Message: err.Error()}
	var given *Error
	if errors.As(err, &given) && given.Code != "" {
		e = given
	}
	dst := append(make([]byte, 0, 160), `{"error":{"code":`...)
	dst = codec.AppendJSONQuoted(dst, string(e.Code))
	dst = append(dst, `,"message":`...)
	dst = codec.AppendJSONQuoted(dst, e.Message)
	dst = append(dst, `,"timestamp":"`...)
	dst = codec.AppendTimestamp(dst, time.Now().UnixMilli())
	dst = append(dst, '"')
	if len(e.Details) > 0 {
		if details, err := json.Marshal(e.Details); err == nil {
			dst = append(append(dst, `,"details":`...), details...)
		}
	}
	return append(dst, '}', '}')
}

// gaveUp turns the end of ctx into the error a call returns: code TIMEOUT for
// a deadline, the context's own error for a cancellation.
func gaveUp(ctx context.Context, topic, requestID string) error {
	err := ctx.Err()
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Error{
		Code: codec.Timeout, Message: "no answer before the deadline",
		Topic: topic, RequestID: requestID, cause: err,
	}
}

// unsure reports whether err leaves open what holds at the broker: the context
// ended before the answer came, or the broker itself does not know.
func unsure(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, ErrTimeout) ||
		errors.Is(err, ErrInternal)
}

// retryDefault is waited when the broker asks to come back without saying when.
const retryDefault = time.Second

// RetryAfter reports whether the broker refused with err only for now (over a
// rate limit, busy, muted, no answer in time), and after what time, at most a minute,
// the same may be asked again. It is false for everything else: an ErrNoRoute
// and an ErrDisconnected (see [Client.WaitConnected]) end for other reasons.
func RetryAfter(err error) (time.Duration, bool) {
	var e *Error
	if !errors.As(err, &e) || e.cause != nil {
		return 0, false
	}
	if ms, ok := e.Details["retryAfterMs"].(float64); ok {
		return time.Duration(min(max(ms, 1), 60_000)) * time.Millisecond, true
	}
	busy := e.Code == codec.ServiceUnavailable && e.Details["reason"] != "subscription_limit"
	if busy || e.Code == codec.RateLimitExceeded || e.Code == codec.Timeout {
		return retryDefault, true
	}
	return 0, false
}
