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
// a reconnect. A subscription is asked for again after the next one.
type NotRenewed struct {
	Subscription *Subscription // nil: the registration
	Err          *Error
}

// renewing is what is left to ask of the broker after a reconnect.
type renewing struct {
	client *Client
	link   *link
	left   []want
	window int           // how many are asked at once; 0: all
	after  time.Duration // to wait before the next round
	failed []NotRenewed
}

// want is one thing that the broker is to know again.
type want struct {
	sub   *Subscription // nil: the registration
	frame *frame
}

// renew registers and subscribes again, all in flight at once, and then lets
// everybody use the connection; what the broker wants to be asked later is
// asked in the background. An error means that the connection is of no use.
// Until everybody uses it, the reader drops messages that find no room instead
// of waiting: slow callbacks must not keep the answers away.
func (c *Client) renew(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, max(c.options.dialTimeout, time.Second))
	defer cancel()
	if err := c.lockSubscriptions(ctx); err != nil {
		return err
	}
	defer c.unlockSubscriptions()
	r := &renewing{client: c, link: l}
	c.mu.Lock()
	if c.registration != nil {
		r.left = append(r.left, want{frame: systemFrame(topicRegister, c.registration)})
	}
	c.mu.Unlock()
	latest := make(map[string]*Subscription)
	subs := c.registry.all()
	for _, s := range subs {
		latest[s.key()] = s
	}
	for _, s := range subs {
		if latest[s.key()] == s {
			r.left = append(r.left, want{s, systemFrame(s.topic, s.payload)})
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
	for _, w := range batch {
		pending, err := r.link.start(ctx, w.frame)
		if err != nil {
			failed = err
			break
		}
		started = append(started, pending)
	}
	var again []want
	r.after = 0
	for i, pending := range started {
		_, err := r.link.wait(ctx, pending)
		var refused *Error
		if after, later := retryAfter(err); later {
			again = append(again, batch[i])
			r.after = max(r.after, after)
		} else if errors.As(err, &refused) && refused.cause == nil {
			r.failed = append(r.failed, NotRenewed{batch[i].sub, refused})
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
		var standing []want
		for _, w := range r.left {
			if w.sub == nil || c.registry.latest(w.sub) == w.sub {
				standing = append(standing, w)
			}
		}
		r.left = standing
		err := r.round(l.ctx)
		c.unlockSubscriptions()
		if err != nil {
			return
		}
	}
	r.done()
}

// done tells that all stand, or which do not.
func (r *renewing) done() {
	c := r.client
	renewal := Renewal{ServiceID: r.link.welcome.ServiceID, Failed: r.failed}
	c.queue.hook(func() {
		if f := c.options.onReconnect; f != nil {
			f(renewal)
			return
		}
		for _, n := range renewal.Failed {
			what := "registration"
			if n.Subscription != nil {
				what = n.Subscription.pattern
			}
			c.options.logger.Error("mb client: not renewed after a reconnect",
				"subscription", what, "error", n.Err)
		}
	})
}
