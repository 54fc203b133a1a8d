package client

import (
	"context"
	"errors"
	"time"
)

// Renewal says how a connection came to take the place of another.
type Renewal struct {
	ServiceID string       // the new one
	Failed    []NotRenewed // what the broker refused for good
}

// NotRenewed is a registration or a subscription that the broker refused after
// a reconnect or a move. It is asked for again after the next one.
type NotRenewed struct {
	Subscription *Subscription // nil: the registration
	Err          *Error
}

// renewal is what is left to ask of the broker after a reconnect or a move.
type renewal struct {
	client *Client
	link   *link
	left   []*Subscription // nil: the registration
	window int             // how many are asked at once; 0: all
	after  time.Duration   // to wait before the next round
	failed []NotRenewed
	moved  bool // nothing was lost
}

// renew registers and subscribes again, all in flight at once, and then calls use,
// which lets everybody use the connection; what the broker wants to be asked later
// is left to conclude. An error means that the connection is of no use. Until
// everybody uses it, the reader drops messages that find no room instead of
// waiting (see stage): slow callbacks must not keep the answers away.
func (c *Client) renew(ctx context.Context, l *link, use func()) (*renewal, error) {
	patience := c.options.dialTimeout
	if patience <= 0 {
		patience = DefaultDialTimeout // Nobody watches the connection yet.
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.lockSubscriptions(ctx); err != nil {
		return nil, err
	}
	defer c.unlockSubscriptions()
	r := &renewal{client: c, link: l}
	if c.registration != nil {
		r.left = append(r.left, nil)
	}
	subs := c.registry.all()
	latest := latestOf(subs)
	for _, s := range subs {
		if latest[s.key()] == s {
			r.left = append(r.left, s)
		}
	}
	if err := r.round(ctx); err != nil {
		return nil, err
	}
	use()
	return r, nil
}

// conclude asks for what is left, in the background, and tells how it went.
func (r *renewal) conclude() {
	if len(r.left) == 0 {
		r.done()
	} else {
		r.client.spawn(r.finish)
	}
}

// round asks for what is left, or as much of it as the window allows. Under
// the lock of the subscriptions.
func (r *renewal) round(ctx context.Context) error {
	count := len(r.left)
	if r.window > 0 {
		count = min(count, r.window)
	}
	batch := r.left[:count]
	var started []*call
	var failed error
	for _, s := range batch {
		pending, err := r.link.start(ctx, r.client.wanted(s))
		if err != nil {
			failed = err
			break
		}
		started = append(started, pending)
	}
	var again []*Subscription
	r.after = 0
	for i, pending := range started {
		_, err := r.link.wait(ctx, pending)
		var refused *Error
		if after, later := RetryAfter(err); later {
			again = append(again, batch[i])
			r.after = max(r.after, after)
		} else if errors.As(err, &refused) && refused.cause == nil {
			r.failed = append(r.failed, NotRenewed{batch[i], refused})
			r.client.report(refused)
		} else if err != nil {
			failed = err
		}
	}
	// As many as were taken this time, so that refusals do not use up the limit.
	if len(again) > 0 {
		r.window = max(len(started)-len(again), 1)
	} else if r.window > 0 {
		r.window *= 2
	}
	r.left = append(again, r.left[count:]...)
	return failed
}

// finish asks until nothing is left or the connection is gone. It has the lock
// for one round at a time: meanwhile subscriptions may change.
func (r *renewal) finish() {
	c, l := r.client, r.link
	for len(r.left) > 0 {
		if !l.pause(r.after) || c.lockSubscriptions(l.ctx) != nil {
			return
		}
		r.refresh()
		err := errLeft
		if c.link.Load() == l {
			err = r.round(l.ctx)
		}
		c.unlockSubscriptions()
		if err != nil {
			return // The next connection renews them all.
		}
	}
	r.done()
}

// refresh replaces what is left by what holds now in its place.
func (r *renewal) refresh() {
	latest := latestOf(r.client.registry.all())
	standing := r.left[:0]
	for _, s := range r.left {
		if s != nil {
			if s = latest[s.key()]; s == nil {
				continue // The last of them was ended.
			}
		}
		standing = append(standing, s)
	}
	clear(r.left[len(standing):])
	r.left = standing
}

// wanted asks the broker for s, or with nil for the registration, as it holds
// here. Under the lock of the subscriptions.
func (c *Client) wanted(s *Subscription) *frame {
	if s == nil {
		return systemFrame(topicRegister, c.registration)
	}
	return systemFrame(s.topic, s.payload)
}

// done tells that all stand, or which do not.
func (r *renewal) done() {
	told := &Renewal{ServiceID: r.link.welcome.ServiceID, Failed: r.failed}
	if r.moved {
		r.client.queue.changed(change{moved: told})
	} else {
		r.client.queue.changed(change{renewed: told})
	}
}

// restore makes hold at the broker what holds here, after a call about s was
// given up and nobody knows whether it arrived; nil stands for the registration.
// In the background, for as long as the connection lives.
func (c *Client) restore(l *link, s *Subscription) {
	c.spawn(func() {
		for {
			if c.lockSubscriptions(l.ctx) != nil {
				return
			}
			_, err := c.restoreOnce(l, s)
			c.unlockSubscriptions()
			after, again := RetryAfter(err)
			var refused *Error
			if !again && errors.As(err, &refused) && refused.cause == nil {
				c.report(refused)
			}
			if !again || !l.pause(after) {
				return
			}
		}
	})
}

func (c *Client) restoreOnce(l *link, s *Subscription) ([]byte, error) {
	if c.link.Load() != l {
		return nil, errLeft // The next connection was asked for what holds.
	}
	if s == nil {
		if c.registration == nil {
			return nil, nil // The broker cannot forget one.
		}
		return l.call(l.ctx, c.wanted(nil))
	}
	if standing := c.registry.latest(s); standing != nil {
		return l.call(l.ctx, c.wanted(standing))
	}
	return l.call(l.ctx, systemFrame(s.undo, s.undoPayload()))
}
