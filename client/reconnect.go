package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// adopt makes l the connection everything is sent over.
func (c *Client) adopt(l *link) {
	c.welcome.Store(&l.welcome)
	c.link.Store(l)
}

// supervise follows the connection, and the ones after it, until the client is
// finished. One goroutine.
func (c *Client) supervise(l *link) {
	defer close(c.stopped)
	for {
		watched := make(chan struct{})
		go func() { l.watch(); close(watched) }()
		select {
		case <-c.closing:
			c.link.Store(nil)
			l.goodbye(ErrClosed)
			<-watched
			return
		case <-watched:
		}
		c.link.Store(nil)
		l.gone.Wait()
		cause := l.cause
		if f := c.options.onDisconnect; f != nil {
			c.queue.do(func() { f(cause) })
		}
		if l = c.redial(cause); l == nil {
			return
		}
	}
}

// redial connects again and renews what the broker forgot. It returns nil when
// the client is finished.
func (c *Client) redial(cause error) *link {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-c.closing:
			cancel()
		case <-stop:
		}
	}()
	for n := 0; c.options.reconnect && (c.options.attempts == 0 || n < c.options.attempts); n++ {
		if !c.backOff(n) {
			return nil
		}
		l, err := c.connect(ctx)
		if err == nil {
			if err = c.renew(ctx, l); err == nil {
				if f := c.options.onReconnect; f != nil {
					c.queue.do(f)
				}
				return l
			}
			l.fail(err)
			l.gone.Wait()
		}
		cause = fmt.Errorf("reconnecting: %w", err)
	}
	// No connection and none to come.
	c.finish(lost(cause))
	c.queue.end(false)
	return nil
}

// backOff waits before attempt n, 0 the first: "full jitter", so that many
// clients of a restarted broker spread out. It reports false when the client
// is finished.
func (c *Client) backOff(n int) bool {
	longest := c.options.backoffMax
	if d := c.options.backoffMin << min(n, 30); d > 0 && d < longest {
		longest = d
	}
	timer := time.NewTimer(rand.N(max(longest, 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.closing:
		return false
	}
}

// renew registers and subscribes again, all in flight at once, and then lets
// everybody use the connection. What the broker refuses is reported to OnError;
// an error means that the connection is of no use.
func (c *Client) renew(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, max(c.options.dialTimeout, time.Second))
	defer cancel()
	if err := c.lockSubscriptions(ctx); err != nil {
		return err
	}
	defer c.unlockSubscriptions()
	var frames []*frame
	c.mu.Lock()
	if c.registration != nil {
		frames = append(frames, systemFrame(topicRegister, c.registration))
	}
	c.mu.Unlock()
	for _, s := range c.registry.all() {
		frames = append(frames, systemFrame(s.topic, s.payload))
	}
	var started []*call
	var failed error
	for _, f := range frames {
		pending, err := l.start(ctx, f)
		if err != nil {
			failed = err
			break
		}
		started = append(started, pending)
	}
	for _, pending := range started {
		_, err := l.wait(ctx, pending)
		var refused *Error
		if errors.As(err, &refused) && refused.cause == nil {
			c.report(refused)
		} else if err != nil {
			failed = err
		}
	}
	if failed == nil {
		c.adopt(l)
	}
	return failed
}
