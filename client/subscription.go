package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// WithBorrowedPayload saves the copy of each message: its payload is valid until
// the callback returns, and must not be changed. See [Message.Clone].
func WithBorrowedPayload() SubOption { return func(f *subscribeFields) { f.borrow = true } }

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
	borrow   bool
	revoked  func() // called when the broker has ended it; does not wait
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
	borrow  bool // the payload is not the receiver's own
	revoked func()
	handler *handler

	// Atomic.
	closed  atomic.Bool
	refused atomic.Pointer[Error] // why the broker has ended it

	// Guarded by the registry's mu.
	standing bool // the broker has confirmed it
	doubted  bool // something like it was revoked before it did
}

// Pattern returns the pattern in canonical form (lower case).
func (s *Subscription) Pattern() string { return s.pattern }

// Err returns nil while the subscription stands, whether there is a connection or
// not; ErrClosed when it was ended; an [ErrForbidden] when the broker has ended
// it (see [OnRevoked]); and the client's error when that is finished.
func (s *Subscription) Err() error {
	if e := s.refused.Load(); e != nil {
		return e
	}
	if s.closed.Load() {
		return ErrClosed
	}
	return s.client.Err()
}

// Unsubscribe ends the subscription: no callback starts after it returned nil,
// except those of requests already queued for a handler. It waits for the
// broker's answer; when there is no connection there is nothing to wait for.
// After an error the subscription stands as before, and Unsubscribe can be
// called again; after it has ended, that does nothing.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	if s.closed.Load() {
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
// pattern (protocol §3), this client's own included, on the dispatch goroutine. A
// level of a pattern may be + (any one level) or, at the end, # (any levels, or
// none). Subscribe returns when the broker has confirmed. Several subscriptions
// of one client with the same pattern are one at the broker (the options of the
// latest that stands count); each callback runs.
func (c *Client) Subscribe(
	ctx context.Context, pattern string, f func(Message), opts ...SubOption,
) (*Subscription, error) {
	fields := subscribeFields{Action: codec.Publish.String(), Topic: strings.ToLower(pattern)}
	for _, set := range opts {
		set(&fields)
	}
	s := &Subscription{
		client: c, action: codec.Publish, pattern: fields.Topic, message: f,
		borrow: fields.borrow, revoked: fields.revoked,
		topic: topicSubscribe, undo: topicUnsubscribe, payload: mustJSON(fields),
	}
	if err := c.subscribe(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
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
	if err := c.subscribe(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
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
	l, err := c.current()
	if err != nil {
		return err
	}
	c.registry.add(s)
	for {
		if _, err = l.call(ctx, systemFrame(s.topic, s.payload)); err != nil {
			break
		}
		if c.registry.confirm(s) {
			return nil
		}
	}
	s.closed.Store(true)
	c.registry.remove(s)
	if unsure(err) {
		c.restore(l, s) // It may have reached the broker.
	}
	return err
}

func (c *Client) unsubscribe(ctx context.Context, s *Subscription) error {
	if err := c.lockSubscriptions(ctx); err != nil {
		if errors.Is(err, ErrClosed) {
			s.closed.Store(true) // With everything else.
		}
		return err
	}
	defer c.unlockSubscriptions()
	l := c.link.Load()
	if f := c.registry.without(s); f != nil && l != nil && !s.closed.Load() {
		_, err := l.call(ctx, f)
		if unsure(err) {
			c.restore(l, s)
		}
		if err != nil && !errors.Is(err, ErrDisconnected) {
			return err
		} // A broker that is gone has forgotten it.
		if s.action == codec.Request {
			c.onLeft(func(old *link) { _, _ = old.call(ctx, f) }) // It may be gone by itself.
		}
	}
	s.closed.Store(true)
	c.registry.remove(s)
	return nil
}

// lockSubscriptions keeps Subscribe, Unsubscribe, Register and the renewal after
// a reconnect apart, so that here and at the broker the same holds.
func (c *Client) lockSubscriptions(ctx context.Context) error {
	if ctx.Err() != nil {
		return gaveUp(ctx, "", "")
	}
	select {
	case c.subscribing <- struct{}{}:
		return nil
	default:
	}
	// Who has the lock waits for an answer, which a callback that waits here
	// must not keep away.
	c.queue.waiting(1)
	defer c.queue.waiting(-1)
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

// remove takes s away.
func (r *registry) remove(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = slices.DeleteFunc(slices.Clone(r.subs), func(o *Subscription) bool { return o == s })
	r.version.Add(1)
}

// serves reports whether there is a handler.
func (r *registry) serves() bool {
	return slices.ContainsFunc(r.all(), func(s *Subscription) bool {
		return s.action == codec.Request
	})
}

// subKey names a subscription at the broker.
type subKey struct{ undo, action, pattern string }

func (s *Subscription) key() subKey { return subKey{s.undo, s.action.String(), s.pattern} }

// latest returns the last of those that are the same at the broker as s, whose
// options count there; nil when there is none.
func (r *registry) latest(s *Subscription) *Subscription {
	for _, o := range slices.Backward(r.all()) {
		if o.key() == s.key() {
			return o
		}
	}
	return nil
}

// without says how the broker gets to what holds when s has ended; nil: it is
// there already, for the sake of another subscription.
func (r *registry) without(s *Subscription) *frame {
	same := slices.DeleteFunc(slices.Clone(r.all()),
		func(o *Subscription) bool { return o.key() != s.key() })
	rest := slices.DeleteFunc(slices.Clone(same), func(o *Subscription) bool { return o == s })
	if len(rest) == 0 {
		return systemFrame(s.undo, s.undoPayload())
	}
	next := rest[len(rest)-1]
	if same[len(same)-1] != s || bytes.Equal(next.payload, s.payload) {
		return nil
	}
	return systemFrame(next.topic, next.payload)
}

// latestOf returns the last subscription with each key.
func latestOf(subs []*Subscription) map[subKey]*Subscription {
	latest := make(map[subKey]*Subscription, len(subs))
	for _, s := range subs {
		latest[s.key()] = s
	}
	return latest
}

func (r *registry) all() []*Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.subs
}

// route is where the messages of one topic, as spelled, and version go.
// Immutable once a message has taken it.
type route struct {
	topic   string
	version string
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
func (rt *route) deliver(id, payload []byte) {
	for _, s := range rt.subs {
		if !s.closed.Load() {
			m := Message{Topic: rt.topic, Version: rt.version, Payload: payload, id: id}
			if !s.borrow {
				m = m.Clone()
			}
			s.message(m)
		}
	}
}
