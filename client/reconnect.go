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
	c.last.Store(l)
	c.link.Store(l)
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.adopted)
	c.adopted = make(chan struct{})
}

// WaitConnected returns when there is a connection, which may be at once: what
// failed with ErrDisconnected can be tried again. It fails when ctx ends, or
// with the client's error when the client is finished. Any goroutine.
func (c *Client) WaitConnected(ctx context.Context) error {
	c.mu.Lock()
	adopted := c.adopted // Before looking: what comes afterwards closes it.
	c.mu.Unlock()
	if c.Connected() {
		return nil
	}
	select {
	case <-adopted:
		return nil
	case <-c.closing:
		return c.Err()
	case <-ctx.Done():
		return gaveUp(ctx, "", "")
	}
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
		c.queue.changed(change{lost: cause})
		if l = c.redial(cause); l == nil {
			return
		}
	}
}

// tellChange hands what became of the connection to the hooks, or to the log.
// Dispatch goroutine.
func (c *Client) tellChange(news change) {
	if news.lost != nil {
		c.tellDisconnect(news.lost)
	}
	if news.renewed != nil {
		c.tellReconnect(*news.renewed)
	}
}

func (c *Client) tellReconnect(renewal Renewal) {
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
}

func (c *Client) tellDisconnect(cause error) {
	if f := c.options.onDisconnect; f != nil {
		f(cause)
	} else if c.options.reconnect && len(c.registry.all()) > 0 {
		c.options.logger.Warn("mb client: the connection was lost; reconnecting", "cause", cause)
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
	atLeast, _ := RetryAfter(cause)
	refusals := 0
	for n := 0; c.options.reconnect && (c.options.attempts == 0 || n < c.options.attempts); n++ {
		if !c.backOff(n, atLeast) {
			return nil
		}
		l, err := c.connect(ctx)
		if err == nil {
			if err = c.renew(ctx, l); err == nil {
				return l
			}
			l.fail(err)
			l.gone.Wait()
		}
		cause = fmt.Errorf("reconnecting: %w", err)
		if ctx.Err() == nil && (errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrForbidden)) {
			c.complain(err, "mb client: the reconnect was refused")
		}
		atLeast, _ = RetryAfter(err)
		if longer := c.refusalPause(refusals, err); longer > 0 {
			atLeast = longer
			refusals++
		}
	}
	// No connection and none to come.
	c.finish(lost(cause))
	c.queue.end(false)
	return nil
}

// backOff waits before attempt n, 0 the first: "full jitter", so that many
// clients of a restarted broker spread out. It reports false when the client
// is finished. atLeast is what the broker asked for when it refused.
func (c *Client) backOff(n int, atLeast time.Duration) bool {
	longest := c.options.backoffMax
	if d := c.options.backoffMin << min(n, 30); d > 0 && d < longest {
		longest = d
	}
	timer := time.NewTimer(atLeast + rand.N(max(longest, 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.closing:
		return false
	}
}
