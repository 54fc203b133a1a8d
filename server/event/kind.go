package event

import (
	"fmt"
	"slices"

	"mbserver/codec"
)

// Kind is what has happened.
type Kind uint8

// The kinds. Those of which one says how long it went on are in the second part.
const (
	Opened Kind = iota
	Identified
	Registered
	Subscribed   // Detail: to what
	Unsubscribed // likewise
	Revoked      // likewise; Number: Permission or Operator
	Closed       // Text: why

	Told      // of losses, by system.dropped
	Refused   // Detail: a code
	Limited   // Detail: a scope; Number: messages a second
	Behind    // its ring fills
	Lost      // messages
	Paused    // Detail: why; Text: the topic of a publish that waits
	Saturated // requests wait for it
)

var kindNames = [...]string{
	"opened", "identified", "registered", "subscribed", "unsubscribed", "revoked", "closed", "told",
	"refused", "limited", "behind", "lost", "paused", "saturated",
}

// String returns the name of it, as /eventz says it.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// What a connection subscribes to.
const (
	Publishes uint8 = iota
	Requests
)

// Who has ended a subscription of a connection.
const (
	Permission uint32 = iota // its roles do not allow it any more
	Operator
)

// Why a connection is not read.
const (
	Waits   uint8 = iota // a publish of its waits for room in a subscriber's ring
	Filling              // it fills the inbox of another loop
	Owing                // it does not read its answers
)

var pauses = [...]string{
	"a publish of its waits for room in a subscriber's ring",
	"its messages fill the inbox of another loop",
	"it does not read its answers",
}

// Pause says why a connection is not read.
func Pause(why uint8) string { return pauses[min(int(why), len(pauses)-1)] }

// Scopes are whose rate limit a message may be over.
var Scopes = []string{"service", "role", "pattern", "topic", "node"}

// ScopeOf is the place of a scope in Scopes.
func ScopeOf(scope string) uint8 { return uint8(max(slices.Index(Scopes, scope), 0)) }

// ScopeWords say whose limit it is: scope is a place in Scopes, pattern is of the topics that it is
// for, "" where it is for all.
func ScopeWords(scope uint8, pattern string) string {
	words := "scope " + Scopes[min(int(scope), len(Scopes)-1)]
	if pattern != "" {
		words += " " + pattern
	}
	return words
}

var codes = []codec.Code{
	codec.InternalError, codec.MalformedMessage, codec.InvalidRequest, codec.InvalidRequestID,
	codec.VersionNotSupported, codec.Unauthorized, codec.Forbidden, codec.TopicNotSupported,
	codec.NoRouteFound, codec.ServiceUnavailable, codec.Timeout, codec.RateLimitExceeded,
}

// CodeOf is the detail that stands for a code.
func CodeOf(code codec.Code) uint8 { return uint8(max(slices.Index(codes, code), 0)) }

// String says in plain words what has happened.
func (e *Event) String() string {
	switch e.Kind {
	case Opened:
		return "opened " + e.Text
	case Identified:
		return "proved to be " + e.Text
	case Registered:
		return "registered as " + e.Text
	case Subscribed:
		return "subscribed to " + e.what()
	case Unsubscribed:
		return "ended its subscription to " + e.what()
	case Revoked:
		if e.Number == Operator {
			return "an operator has ended its subscription to " + e.what()
		}
		return "lost the permission to be subscribed to " + e.what()
	case Told:
		return "was told of losses (system.dropped)" + e.times()
	case Closed:
		return "closed: " + e.Text
	case Refused:
		return fmt.Sprintf("%s answered %s: %s", e.messages(),
			codes[min(int(e.Detail), len(codes)-1)], e.Text)
	case Limited:
		return fmt.Sprintf("%s over the limit of %d a second (%s)", e.messages(), e.Number,
			ScopeWords(e.Detail, e.Text))
	case Behind:
		return fmt.Sprintf("its ring was more than three quarters full%s", e.times())
	case Lost:
		return fmt.Sprintf("%s lost because its ring was full", e.messages())
	case Paused:
		said := fmt.Sprintf("was not read%s: %s", e.times(), Pause(e.Detail))
		if e.Text != "" {
			said += " (" + e.Text + ")"
		}
		return said
	case Saturated:
		return fmt.Sprintf("requests waited for it%s", e.times())
	}
	return e.Text
}

func (e *Event) what() string {
	if e.Detail == Requests {
		return "requests of " + e.Text
	}
	return "publishes on " + e.Text
}

func (e *Event) messages() string {
	if e.Count == 1 {
		return "1 message was"
	}
	return fmt.Sprintf("%d messages were", e.Count)
}

// times says how often, when that was more than once.
func (e *Event) times() string {
	if e.Count <= 1 {
		return ""
	}
	return fmt.Sprintf(" %d times", e.Count)
}

// Story is what is remembered of one connection.
type Story struct {
	ID, Name, Identity, Remote, Transport string
	Events                                []Event // the oldest first
	Forgotten                             int     // events between the first and those
}
