package system

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/permit"
	"mbserver/topic"
)

// Caller is the connection that a request came from. Loop only, while Serve runs.
type Caller interface {
	// ID is the service's.
	ID() codec.UUID
	// Counts is the loop's running totals.
	Counts() *metrics.Counts
	// Answer sends a payload under the request's topic, version and ID.
	Answer(payload []byte)
	// AnswerShared answers with a snapshot that others may be given too: at once when there is one
	// that shows all that has changed, else when the next one is made. The loop's counts are
	// published before.
	AnswerShared(s Snapshot) *Error
	// AnswerSubscriptions is AnswerShared with a service's own subscriptions.
	AnswerSubscriptions(of codec.UUID) *Error
	// InBackground has work run beside the loops, and then what it returns on this one, for the
	// same request: that answers, or says why not. Neither runs when the connection has left.
	InBackground(work func() func(c Caller) *Error) *Error
	// Register names the service, or changes what it is known as, if there is memory for it.
	Register(p *Profile) *Error
	// Subscribe adds subscriptions, or replaces their options; all of them or none. There may be
	// too many, or no memory for them.
	Subscribe(p topic.Pattern, kinds []topic.Kind, o topic.Options) *Error
	// Known says that every other node knows of the subscriptions that Subscribe has just added, as
	// a node alone always does.
	Known() bool
	// WhenKnown has then called for the same request when they do, or are not waited for any more:
	// unconfirmed is how many do not. It is not called when the connection has left.
	WhenKnown(then func(c Caller, unconfirmed int))
	// Unsubscribe ends subscriptions; those that are not there are none.
	Unsubscribe(p topic.Pattern, kinds []topic.Kind)
	// BeginFilter begins a change of the service's log filter, and returns its number.
	BeginFilter() uint16
	// FilterLog makes the service get the log lines that f wants, if there is memory for it; nil:
	// none. Nothing changes when a later change has begun.
	FilterLog(f *LogFilter, change uint16) *Error
	// Holds says whether the service has been permitted all of some words.
	Holds(w permit.Words) bool
	// Authenticate checks a token beside the loops, and answers: with who the service is from then
	// on, or why it is not. Nothing that comes after it is taken before.
	Authenticate(token string) *Error
	// Rules are what the service may do; nil: everything.
	Rules() *permit.Rules
	// Identity is whose the service is; "": that is not known.
	Identity() string
	// Fates has the loops asked what became of the latest message with an ID that the service may
	// see, and answers with that, or with found false.
	Fates(id codec.UUID, answer func(c Caller, fates []Fate, found bool) *Error) *Error
	// Arm has what becomes of some messages recorded for a while, and calls done when every loop
	// does.
	Arm(a Arm, done func(c Caller) *Error) *Error
	// Notify publishes what compose returns on a system topic, if anybody is subscribed to it.
	Notify(topic string, compose func() []byte)
	Operating
}

// Node is what can be asked of the node at large. Any goroutine.
type Node interface {
	// Services calls f for each service of this moment, in the order in which they came; now is for
	// their rates.
	Services(now time.Time, f func(s *Service))
	// ServicesAbroad calls f for each service of other nodes that takes requests, as far as they
	// are known here, by node.
	ServicesAbroad(f func(s *Service))
	// Service returns the service with that ID, if there is one.
	Service(id codec.UUID, now time.Time) (s Service, ok bool)
	// Walk calls f for every pattern and kind that somebody is subscribed to.
	Walk(f func(p topic.Pattern, k topic.Kind))
	// Subscribers appends those of a pattern to dst.
	Subscribers(p topic.Pattern, k topic.Kind, dst []Subscriber) []Subscriber
	// Forecast says what would become of a message.
	Forecast(q *Forecast) []Fate
	// RulesOf is what an identity may do: its connections, if it has any. nil: everything.
	RulesOf(identity string) *permit.Rules
	// Nodes tells of the node and of those it knows, itself first. It may wait: no loop calls it.
	Nodes(now time.Time) []metrics.Peer
	// Sample gathers the node's numbers, without waiting for a loop.
	Sample(now time.Time) *metrics.Sample
	Drainer
}

// Error is why a request was refused (protocol §7).
type Error struct {
	Code    codec.Code
	Message string
	Details []codec.Detail
}

// invalid is the answer to a field that is missing or wrong.
func invalid(field, message string) *Error {
	return &Error{codec.InvalidRequest, field + ": " + message,
		[]codec.Detail{codec.TextDetail("field", field)}}
}

// Topics that are also named outside the table below.
const (
	HeartbeatTopic = "system.heartbeat"
	AuthTopic      = "system.auth"
	ExplainTopic   = "system.explain"
	LogTopic       = "system.log"
	MessageTopic   = "system.message"
)

// handlers are the requests that the node itself answers, by canonical topic.
var handlers = map[string]func(*call) *Error{
	HeartbeatTopic:                  (*call).success,
	"system.service.register":       (*call).register,
	"system.service.list":           (*call).listServices,
	"system.service.subscriptions":  (*call).serviceSubscriptions,
	subscribeTopic:                  (*call).subscribe,
	"system.topic.unsubscribe":      (*call).unsubscribe,
	"system.topic.list":             (*call).listTopics,
	"system.topic.subscriptions":    (*call).topicSubscriptions,
	"system.log.subscribe":          (*call).subscribeLog,
	"system.log.unsubscribe":        (*call).unsubscribeLog,
	"system.metrics":                (*call).metrics,
	"system.node.list":              (*call).listNodes,
	ExplainTopic:                    (*call).explain,
	AuthTopic:                       (*call).auth,
	"system.connection.kick":        operate(Kick),
	"system.connection.mute":        operate(Mute),
	"system.connection.unsubscribe": operate(Unsubscribe),
	"system.node.drain":             (*call).drain,
}

// call is one request while its handler runs: it is gone when that returns.
type call struct {
	Caller
	node    Node
	payload []byte                     // an object; nil: empty
	fields  map[string]json.RawMessage // valid until the handler returns
}

// Server answers one loop's requests on system topics. Loop only.
type Server struct {
	node   Node                       // immutable
	call   call                       // the request that is being answered
	fields map[string]json.RawMessage // of call; empty between requests
}

// NewServer returns a server that asks n.
func NewServer(n Node) *Server {
	return &Server{node: n, fields: make(map[string]json.RawMessage, len(fieldNames))}
}

// Serve takes a message on a system topic. name is its canonical topic. The action is checked
// first, then the version, then the topic is looked up, then the payload is read (protocol §8).
func (s *Server) Serve(c Caller, h *codec.Header, name, payload []byte) *Error {
	counts := c.Counts()
	switch h.Action {
	case codec.Request:
		counts[metrics.Requests]++
	case codec.Response:
		counts[metrics.Responses]++
	default:
		counts[metrics.Publishes]++
	}
	heartbeat := h.Action == codec.Response && string(name) == HeartbeatTopic
	if h.Action != codec.Request && !heartbeat {
		return &Error{codec.InvalidRequest, "system topics take requests only",
			[]codec.Detail{codec.TextDetail("action", h.Action.String())}}
	}
	if h.MajorVersion() != 1 {
		return &Error{codec.VersionNotSupported, "system topics are served in version 1",
			[]codec.Detail{
				codec.TextDetail("version", string(h.Version)), codec.TextDetail("supported", "1"),
			}}
	}
	if h.Action == codec.Response {
		return nil // a heartbeat's: a sign of life, which every message is
	}
	handler := handlers[string(name)]
	if handler == nil {
		return &Error{codec.TopicNotSupported, "no such system topic",
			[]codec.Detail{codec.TextDetail("topic", string(name))}}
	}
	if !c.Holds(needs[string(name)]) {
		return Forbidden(h.Action.String(), string(name))
	}
	s.call = call{Caller: c, node: s.node, fields: s.fields}
	defer func() {
		s.call = call{}
		clear(s.fields)
	}()
	if err := s.call.read(payload); err != nil {
		return err
	}
	return handler(&s.call)
}

// read takes the payload of a request, which it keeps.
func (c *call) read(payload []byte) *Error {
	if p := bytes.TrimSpace(payload); len(p) == 0 || string(p) == "{}" {
		return nil
	}
	if !parseFields(payload, c.fields) {
		return &Error{codec.MalformedMessage,
			"the payload of a system request must be a JSON object",
			[]codec.Detail{codec.TextDetail("field", "payload")}}
	}
	c.payload = payload
	return tooLong(c.fields)
}

// decode reads a field's value. null is none where another type is expected (protocol §8);
// encoding/json would pass over it.
func decode(raw json.RawMessage, into any) bool {
	return string(raw) != "null" && json.Unmarshal(raw, into) == nil
}

// text returns the string field key; ok is false when it is absent.
func (c *call) text(key string) (value string, ok bool, err *Error) {
	raw, ok := c.fields[key]
	if !ok {
		return "", false, nil
	}
	if value, ok = textOf(raw); !ok {
		return "", false, invalid(key, "must be a string")
	}
	return value, true, nil
}

// texts returns the object of strings in the field key, nil when it is absent; wrong says what is
// expected there.
func (c *call) texts(key, wrong string) (map[string]string, *Error) {
	raw, ok := c.fields[key]
	if !ok {
		return nil, nil
	}
	var values map[string]*string // null is no string
	if !decode(raw, &values) {
		return nil, invalid(key, wrong)
	}
	texts := make(map[string]string, len(values))
	for name, value := range values {
		if value == nil {
			return nil, invalid(key, wrong)
		}
		texts[name] = *value
	}
	return texts, nil
}

// boundedText returns a string field of least to most characters.
func (c *call) boundedText(key string, least, most int) (string, *Error) {
	value, ok, err := c.text(key)
	if err != nil {
		return "", err
	}
	if n := utf8.RuneCountInString(value); !ok || n < least || n > most {
		return "", invalid(key, fmt.Sprintf("must be a string of %d to %d characters", least, most))
	}
	return value, nil
}

// flag returns the boolean field key; false when it is absent.
func (c *call) flag(key string) (value bool, err *Error) {
	if raw, ok := c.fields[key]; ok && !decode(raw, &value) {
		return false, invalid(key, "must be true or false")
	}
	return value, nil
}

var statusSuccess = []byte(`{"status":"success"}`)

// success answers with the status and nothing else. It is all that a heartbeat gets.
func (c *call) success() *Error {
	c.Answer(statusSuccess)
	return nil
}

// notify tells the subscribers of a system topic that the request has succeeded: its fields, on one
// line, and whose it was.
func (c *call) notify(name string) { notify(c, c.payload, name) }

// notify is that for a request whose call is over.
func notify(c Caller, payload []byte, name string) {
	c.Notify(name, func() []byte {
		b := c.ID().Append([]byte(`{"serviceId":"`))
		out := bytes.NewBuffer(append(b, '"'))
		eachMember(payload, func(escaped, value []byte) {
			name := nameOf(escaped)
			if strings.EqualFold(name, "serviceId") {
				return // in no spelling may a client say who it is
			}
			out.WriteByte(',')
			out.Write(codec.AppendJSONQuoted(out.AvailableBuffer(), name))
			out.WriteByte(':')
			_ = json.Compact(out, value) // it is valid
		})
		out.WriteByte('}')
		return out.Bytes()
	})
}
