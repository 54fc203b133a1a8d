package client

import (
	"context"
	"errors"
	"time"
)

// Renewal says how a lost connection came back.
type Renewal struct {
	ServiceID string       // the new one
	Failed    []NotRenewed // what the broker refused for good
}

// NotRenewed is a registration or a subscription that the broker refused after
// a reconnect. It is asked for again after the next one.
type NotRenewed struct {
	Subscription *Subscription // nil: the registration
	Err          *Error
}

// renewing is what is left to ask of the broker after a reconnect.
type renewing struct {
	client *Client
	link   *link
	left   []*Subscription // nil: the registration
	window int             // how many are asked at once; 0: all
	after  time.Duration   // to wait before the next round
	failed []NotRenewed
}

// renew registers and subscribes again, all in flight at once, and then lets
// everybody use the connection; what the broker wants to be asked later is
// asked in the background. An error means that the connection is of no use.
// Until everybody uses it, the reader drops messages that find no room instead
// of waiting: slow callbacks must not keep the answers away.
func (c *Client) renew(ctx context.Context, l *link) error {
	patience := c.options.dialTimeout
	if patience <= 0 {
		patience = DefaultDialTimeout // Nobody watches the connection yet.
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.lockSubscriptions(ctx); err != nil {
		return err
	}
	defer c.unlockSubscriptions()
	r := &renewing{client: c, link: l}
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
	l.renewing.Store(true)
	err := r.round(ctx)
	l.renewing.Store(false)
	if err != nil {
		return err
	}
	c.adopt(l)
	if len(r.left) == 0 {
		r.done()
	} else {
		c.spawn(r.finish)
	}
	return nil
}

// round asks for what is left, or as much of it as the window allows. Under
// the lock of the subscriptions.
func (r *renewing) round(ctx context.Context) error {
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
func (r *renewing) finish() {
	c, l := r.client, r.link
	for len(r.left) > 0 {
		if !l.pause(r.after) || c.lockSubscriptions(l.ctx) != nil {
			return
		}
		r.refresh()
		err := r.round(l.ctx)
		c.unlockSubscriptions()
		if err != nil {
			return
		}
	}
	r.done()
}

// refresh replaces what is left by what holds now in its place.
func (r *renewing) refresh() {
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
func (r *renewing) done() {
	r.client.queue.changed(change{renewed: &Renewal{
		ServiceID: r.link.welcome.ServiceID, Failed: r.failed,
	}})
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
