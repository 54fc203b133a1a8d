package client

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"mbserver/codec"
)

// SubOption changes a subscription made by [Client.Subscribe].
type SubOption func(*subscribeFields)

// WithOverflow chooses what the broker does when this subscriber is over its
// limit: "drop" (newest), "drop-oldest" or "disconnect" (protocol §9).
func WithOverflow(policy string) SubOption {
	return func(f *subscribeFields) { f.Overflow = policy }
}

// WithConflation keeps only the newest message of each topic while this
// subscriber is behind (protocol §8).
func WithConflation() SubOption { return func(f *subscribeFields) { f.Conflate = true } }

// subscribeFields is the payload of system.topic.subscribe (protocol §8).
type subscribeFields struct {
	Action   string  `json:"action"`
	Topic    string  `json:"topic"`
	Priority float64 `json:"priority,omitempty"`
	Overflow string  `json:"overflow,omitempty"`
	Conflate bool    `json:"conflate,omitempty"`
}

// LogFilter selects lines of the broker's log.
type LogFilter struct {
	Levels []string `json:"levels,omitempty"` // debug, info, warn, error; empty: error only
	Regex  string   `json:"regex,omitempty"`  // RE2; "" takes every line
}

// Subscription is one Subscribe, SubscribeLog or Handle.
type Subscription struct {
	// Immutable after it was made.
	client  *Client
	action  codec.Action // Publish or Request
	pattern string       // canonical
	topic   string       // system topic that makes it
	undo    string       // system topic that ends it
	payload []byte       // of topic
	message func(Message)
	handler *handler

	// Atomic.
	closed atomic.Bool
}

// Pattern returns the pattern in canonical form (lower case).
func (s *Subscription) Pattern() string { return s.pattern }

// Unsubscribe ends the subscription: no callback starts after it returned,
// except those of requests already queued for a handler. It waits for the
// broker's answer; when there is no connection there is nothing to wait for.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}
	return s.client.unsubscribe(ctx, s)
}

func (s *Subscription) undoPayload() []byte {
	if s.topic == topicLogSubscribe {
		return emptyObject
	}
	return mustJSON(map[string]string{"action": s.action.String(), "topic": s.pattern})
}

// mustJSON marshals what cannot fail: maps and structs of plain fields.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Subscribe calls f for every message published on a topic that matches the
// pattern (protocol §3), on the dispatch goroutine. It returns when the broker
// has confirmed. Several subscriptions of one client with the same pattern are
// one at the broker (the options of the latest count); each callback runs.
func (c *Client) Subscribe(
	ctx context.Context, pattern string, f func(Message), opts ...SubOption,
) (*Subscription, error) {
	fields := subscribeFields{Action: codec.Publish.String(), Topic: strings.ToLower(pattern)}
	for _, set := range opts {
		set(&fields)
	}
	s := &Subscription{
		client: c, action: codec.Publish, pattern: fields.Topic, message: f,
		topic: topicSubscribe, undo: topicUnsubscribe, payload: mustJSON(fields),
	}
	return s, c.subscribe(ctx, s)
}

// SubscribeLog calls f for every line of the broker's log that passes the
// filter: one JSON object with level, message, module, timestamp and more
// (protocol §8). The broker keeps one filter per client, the latest.
func (c *Client) SubscribeLog(
	ctx context.Context, filter LogFilter, f func(Message),
) (*Subscription, error) {
	s := &Subscription{
		client: c, action: codec.Publish, pattern: topicLog, message: f,
		topic: topicLogSubscribe, undo: topicLogUnsubscribe, payload: mustJSON(filter),
	}
	return s, c.subscribe(ctx, s)
}

// subscribe makes s known here before it is known to the broker, so that its
// first message finds it.
func (c *Client) subscribe(ctx context.Context, s *Subscription) error {
	if c.draining.Load() {
		return ErrClosed
	}
	if err := c.lockSubscriptions(ctx); err != nil {
		return err
	}
	defer c.unlockSubscriptions()
	if c.draining.Load() {
		return ErrClosed // Drain had the lock before.
	}
	c.registry.add(s)
	if _, err := c.System(ctx, s.topic, s.payload); err != nil {
		s.closed.Store(true)
		c.registry.remove(s)
		return err
	}
	return nil
}

func (c *Client) unsubscribe(ctx context.Context, s *Subscription) error {
	if err := c.lockSubscriptions(ctx); err != nil {
		c.registry.remove(s)
		return err
	}
	defer c.unlockSubscriptions()
	if shared := c.registry.remove(s); shared || c.link.Load() == nil {
		return nil
	}
	_, err := c.System(ctx, s.undo, s.undoPayload())
	return err
}

// lockSubscriptions keeps Subscribe, Unsubscribe and the renewal after a
// reconnect apart, so that here and at the broker the same holds.
func (c *Client) lockSubscriptions(ctx context.Context) error {
	select {
	case c.subscribing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return gaveUp(ctx, "", "")
	case <-c.closing:
		return ErrClosed
	}
}

func (c *Client) unlockSubscriptions() { <-c.subscribing }

// registry holds the subscriptions in the order they were made.
type registry struct {
	version atomic.Uint64 // grows with every change

	// Guarded by mu.
	mu   sync.Mutex
	subs []*Subscription // replaced, never changed
}

func (r *registry) add(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = append(slices.Clone(r.subs), s)
	r.version.Add(1)
}

// remove takes s away and reports whether another subscription needs the same
// of the broker.
func (r *registry) remove(s *Subscription) (shared bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var left []*Subscription
	for _, o := range r.subs {
		if o == s {
			continue
		}
		left = append(left, o)
		shared = shared || o.undo == s.undo && o.action == s.action && o.pattern == s.pattern
	}
	r.subs = left
	r.version.Add(1)
	return shared
}

func (r *registry) all() []*Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.subs
}

// route is where the messages of one topic, as spelled, go. Immutable.
type route struct {
	topic   string
	subs    []*Subscription // publish
	handler *handler        // request: of the highest priority, the first made
}

func (r *registry) route(topic string) *route {
	rt := &route{topic: topic}
	for _, s := range r.all() {
		if !matches(s.pattern, topic) {
			continue
		}
		if s.action == codec.Publish {
			rt.subs = append(rt.subs, s)
		} else if rt.handler == nil || s.handler.priority > rt.handler.priority {
			rt.handler = s.handler
		}
	}
	return rt
}

// deliver runs the callbacks. Dispatch goroutine only.
func (rt *route) deliver(version string, id, payload []byte) {
	for _, s := range rt.subs {
		if !s.closed.Load() {
			s.message(Message{Topic: rt.topic, Version: version, Payload: payload, id: id})
		}
	}
}
