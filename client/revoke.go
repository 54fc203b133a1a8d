package client

import (
	"encoding/json"
	"slices"
	"strings"

	"mbserver/codec"
)

// revoked hears that the broker has ended a subscription (protocol §10). Reader only.
func (l *link) revoked(payload []byte) {
	var told struct{ Action, Topic string }
	if json.Unmarshal(payload, &told) != nil {
		return
	}
	c := l.client
	if l.stage.now() == leaving && c.link.Load() != l {
		return // What stands on the connection in use is not meant.
	}
	verb := "subscribe" // As the broker would say it to who asks again.
	if told.Action == codec.Request.String() {
		verb = "respond"
	}
	for _, s := range c.registry.revoke(told.Action, strings.ToLower(told.Topic), &Error{
		Code: codec.Forbidden, Message: "the broker has ended this subscription", Topic: told.Topic,
		Details: map[string]any{"action": verb, "topic": told.Topic},
	}) {
		c.queue.do(func() { c.tellRevoked(s) })
	}
}

// tellRevoked hands a revocation to OnRevoked, or to the log. Dispatch goroutine.
func (c *Client) tellRevoked(s *Subscription) {
	if f := c.options.onRevoked; f != nil {
		f(s)
		return
	}
	c.options.logger.Error("mb client: the broker has ended a subscription",
		"subscription", s.pattern, "error", s.Err())
}

// revoke ends the subscriptions that are one with the action and the pattern at the broker, and
// returns them. Of one that the broker has not confirmed yet, nobody knows whether it was meant.
func (r *registry) revoke(action, pattern string, reason *Error) (ended []*Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = slices.DeleteFunc(slices.Clone(r.subs), func(s *Subscription) bool {
		if s.action.String() != action || s.pattern != pattern {
			return false
		}
		if !s.standing {
			s.doubted = true
			return false
		}
		s.refused.Store(reason)
		s.closed.Store(true)
		if s.revoked != nil {
			s.revoked()
		}
		ended = append(ended, s)
		return true
	})
	if len(ended) > 0 {
		r.version.Add(1)
	}
	return ended
}

// confirm notes that the broker has taken s; false means that it must be asked once more.
func (r *registry) confirm(s *Subscription) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.standing = !s.doubted
	s.doubted = false
	return s.standing
}
