package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"mbserver/codec"
)

// System topics (protocol §8).
const (
	systemVersion = "1.0.0"

	topicInitialize     = "system.initialize"
	topicHeartbeat      = "system.heartbeat"
	topicRegister       = "system.service.register"
	topicSubscribe      = "system.topic.subscribe"
	topicUnsubscribe    = "system.topic.unsubscribe"
	topicLog            = "system.log"
	topicLogSubscribe   = "system.log.subscribe"
	topicLogUnsubscribe = "system.log.unsubscribe"
	topicAuth           = "system.auth"
	topicDropped        = "system.dropped"
	topicFlow           = "system.flow"
	topicExpiring       = "system.auth.expiring"
	topicRevoked        = "system.topic.revoked"
	topicDrain          = "system.drain"
)

var (
	emptyObject = []byte(`{}`)
	success     = []byte(`{"status":"success"}`)
)

// message handles one message of the broker. An error ends the connection.
// Reader only; msg is valid until it returns.
func (l *link) message(msg []byte) error {
	h, payload, herr := codec.ParseHeader(msg, maxTimeoutMs)
	if herr != nil {
		l.client.report(&Error{Code: codec.MalformedMessage,
			Message: "message from the broker: " + herr.Error()})
		return nil
	}
	if !l.greeted {
		return l.greet(&h, payload)
	}
	switch h.Action {
	case codec.Publish:
		if systemTopic(h.Topic) && l.notice(&h, payload) {
			return nil
		}
		l.deliver(&h, payload)
	case codec.Request:
		if bytes.EqualFold(h.Topic, []byte(topicHeartbeat)) {
			l.out.force(&frame{
				action: codec.Response, topic: topicHeartbeat, version: systemVersion,
				id: h.RequestID, payload: success,
			})
			return nil
		}
		l.serve(&h, payload)
	case codec.Response:
		l.answer(&h, payload)
	}
	return nil
}

// greet takes the first message: system.initialize, or the error with which
// the broker refuses the connection (protocol §4).
func (l *link) greet(h *codec.Header, payload []byte) error {
	if h.Action == codec.Publish && bytes.EqualFold(h.Topic, []byte(topicInitialize)) {
		l.greeted = true
		l.welcome = parseWelcome(payload)
		close(l.ready)
		return nil
	}
	if e := parseError(payload, string(h.Topic), ""); e != nil {
		return e
	}
	return &Error{Code: codec.MalformedMessage, Topic: string(h.Topic),
		Message: "the peer did not begin with system.initialize: not a broker"}
}

// notice takes what the broker says to the client itself.
func (l *link) notice(h *codec.Header, payload []byte) bool {
	c := l.client
	switch {
	case bytes.EqualFold(h.Topic, []byte(topicDropped)):
		var gap Gap
		if json.Unmarshal(payload, &gap) == nil {
			l.readOn(c.queue.notice(l.dead, l.stage.drops(), &gap, func() { c.tellGap(gap) }))
		}
	case bytes.EqualFold(h.Topic, []byte(topicFlow)):
		var flow Flow
		if json.Unmarshal(payload, &flow) == nil && c.options.onFlow != nil {
			event := func() { c.options.onFlow(flow) }
			l.readOn(c.queue.notice(l.dead, l.stage.drops(), nil, event))
		}
	case bytes.EqualFold(h.Topic, []byte(topicExpiring)):
		l.expiring(payload)
	case bytes.EqualFold(h.Topic, []byte(topicRevoked)):
		l.revoked(payload)
	case bytes.EqualFold(h.Topic, []byte(topicDrain)):
		l.drains(payload)
	case bytes.EqualFold(h.Topic, []byte(topicInitialize)):
	default:
		return false
	}
	return true
}

// answer finishes a call, or reports an error nobody waits for.
func (l *link) answer(h *codec.Header, payload []byte) {
	if id, ok := codec.ParseUUID(h.RequestID); ok {
		if c, ok := l.calls.take(id); ok {
			c.done <- result{payload: append(make([]byte, 0, len(payload)), payload...)}
			return
		}
	} else if bytes.EqualFold(h.Topic, []byte(topicLog)) {
		l.deliver(h, payload)
		return
	}
	// A TIMEOUT nobody waits for is that of a call given up already.
	e := parseError(payload, string(h.Topic), string(h.RequestID))
	if e != nil && e.Code != codec.Timeout && !l.lastWord(e) {
		l.client.report(e)
	}
}

// deliver queues a message for the subscriptions; those of no subscription
// (any more) are dropped.
func (l *link) deliver(h *codec.Header, payload []byte) {
	r := l.route(l.publish, h)
	if len(r.subs) == 0 {
		return
	}
	l.readOn(l.client.queue.message(l.dead, l.stage.now(), r, h.RequestID, payload))
}

// readOn goes on reading, after the queue was waited for or not.
func (l *link) readOn(waited bool) {
	if waited {
		l.heard() // Until now it was we who did not read.
		l.client.queue.resumed()
	}
}

// serve hands a request to its handler.
func (l *link) serve(h *codec.Header, payload []byte) {
	r := l.route(l.request, h)
	req := Request{
		Topic: r.topic, Version: r.version,
		ID: string(h.RequestID), ParentID: string(h.ParentID),
	}
	if r.handler == nil {
		l.refuse(&req, &Error{
			Code: codec.ServiceUnavailable, Message: "no handler for " + r.topic + " any more",
			Details: map[string]any{"reason": "no_handler"},
		})
		return
	}
	if h.TimeoutMs > 0 && h.TimeoutMs < uint64(math.MaxInt64/time.Millisecond) {
		req.deadline = time.Now().Add(time.Duration(h.TimeoutMs) * time.Millisecond)
	}
	req.Payload = append(make([]byte, 0, len(payload)), payload...)
	r.handler.accept(l, req)
}

// route returns where messages with the header's topic and version go, from the
// cache while no subscription changed.
func (l *link) route(cache map[string]*route, h *codec.Header) *route {
	if v := l.client.registry.version.Load(); v != l.registry {
		clear(l.publish)
		clear(l.request)
		l.registry = v
	}
	r, known := cache[string(h.Topic)]
	switch {
	case known && r.version == string(h.Version):
		return r
	case known:
		other := *r // Messages in the queue have the version that it had.
		r = &other
	case len(cache) >= routeCache:
		clear(cache)
		fallthrough
	default:
		r = l.client.registry.route(string(h.Topic))
	}
	r.version = string(h.Version)
	cache[r.topic] = r
	return r
}

// report hands an error that answers no call to the OnError hook.
func (c *Client) report(e *Error) {
	if c.options.onError != nil {
		c.queue.report(func() { c.options.onError(e) })
	}
}

// tellGap hands a gap to OnGap, or to the log. Dispatch goroutine.
func (c *Client) tellGap(g Gap) {
	if f := c.options.onGap; f != nil {
		f(g)
		return
	}
	c.options.logger.Warn("mb client: messages were dropped for this slow subscriber",
		"count", g.Count, "conflated", g.Conflated, "local", g.Local, "reason", g.Reason)
}

// tellErrors says that events were dropped before their hooks had run.
func (c *Client) tellErrors(n uint64) {
	e := &Error{Code: CodeEventsDropped, Message: fmt.Sprintf(
		"%d events were dropped: the hooks are too slow", n), Details: map[string]any{"count": n}}
	if f := c.options.onError; f != nil {
		f(e)
		return
	}
	c.options.logger.Warn("mb client: events were dropped, the hooks are too slow", "count", n)
}
