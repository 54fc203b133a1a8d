package broker

import (
	"context"
	"slices"
	"strings"
	"time"

	"mbserver/codec"
	"mbserver/server/census"
	"mbserver/server/system"
)

// Connection returns what is known of one connection, with the first most of its subscriptions. Its
// loop is asked, and waited for until ctx ends. The error is census.ErrUnknown or census.ErrBusy.
// Any goroutine but a loop's.
func (b *Broker) Connection(
	ctx context.Context, id string, most int, now time.Time,
) (*census.Detail, error) {
	u, ok := codec.ParseUUID([]byte(id))
	if !ok {
		return nil, census.ErrUnknown
	}
	s := b.registry.find(u)
	if s == nil {
		return nil, census.ErrUnknown
	}
	d := new(census.Detail)
	b.census.mu.Lock()
	b.census.show(s, &d.Connection, now, false)
	b.census.mu.Unlock()
	var subs []subscription
	told := make(chan bool, 1)
	s.loop.call(func(l *Loop) {
		c := l.connOf(s)
		if c != nil {
			subs = c.tellOf(d)
		}
		told <- c != nil
	})
	select {
	case known := <-told:
		if !known {
			return nil, census.ErrUnknown
		}
	case <-ctx.Done():
		return nil, census.ErrBusy
	}
	d.SubscriptionCount = len(subs)
	subs = slices.Clone(subs) // it is only lent
	slices.SortFunc(subs, func(a, b subscription) int {
		if d := strings.Compare(a.pattern.String(), b.pattern.String()); d != 0 {
			return d
		}
		return int(a.kind) - int(b.kind)
	})
	for _, sub := range subs[:min(most, len(subs))] {
		d.Subscriptions = append(d.Subscriptions, census.Subscription{
			Action: sub.kind.String(), Topic: sub.pattern.String(),
			Priority: sub.options.Priority, Conflate: sub.options.Conflate,
			Overflow: system.Overflow(sub.options.Overflow).String(),
		})
	}
	return d, nil
}

// tellOf writes what the loop knows of c to d, and lends its subscriptions.
func (c *Conn) tellOf(d *census.Detail) (subs []subscription) {
	l := c.loop
	subs, _ = c.subs.lend()
	d.Remembered, d.Charged = c.subs.charged(), c.charge()
	d.Ring = census.Ring{
		Bytes: c.out.Bytes(), Messages: c.out.Messages(),
		OwnBytes: c.out.OwnBytes(), OwnMessages: c.out.OwnMessages(), HeldBytes: c.out.Held(),
		LimitBytes: l.broker.limits.Bytes, LimitMessages: l.broker.limits.Messages,
	}
	if g := c.gap; g != nil {
		d.Gap = census.Gap{Lost: g.lost + g.oldest, Conflated: g.conflated, Since: g.since}
	}
	if p := c.paused; p != nil {
		d.Pauses, d.PausedTopic = p.reasons(), p.topic
	}
	d.Parked, d.Unparsed, d.Answers = c.parked != nil, c.dec.Buffered(), int(c.unanswered)
	d.SilentFor, d.Heartbeats = max(l.listened()-c.heard, 0), int(c.beats)
	if s := c.standing; s != nil {
		d.Anonymous, d.Unidentified = s.grant == nil && !s.demanded, s.demanded
		d.RateLimit, d.Roles = s.rules.Rate(), s.rules.Roles()
		if s.grant != nil && !s.grant.Expires.IsZero() {
			d.Expires = s.grant.Expires.UnixMilli()
		}
	}
	return subs
}

// reasons says in words why nothing is taken of a connection.
func (p *pauseState) reasons() (why []string) {
	for _, r := range []struct {
		is   bool
		word string
	}{
		{p.waits > 0, census.PauseBackpressure}, {p.filling, census.PauseInbox},
		{p.owing != nil, census.PauseAnswers}, {p.checking, census.PauseCredentials},
		{p.left, census.PauseShare},
	} {
		if r.is {
			why = append(why, r.word)
		}
	}
	return why
}
