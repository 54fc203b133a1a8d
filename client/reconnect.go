package client

import (
	"context"
	"errors"
	"fmt"
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
	defer c.leaving.Wait()
	for l != nil {
		l = c.follow(l)
	}
}

// follow returns the connection that takes the place of l; nil: the client is
// finished.
func (c *Client) follow(l *link) *link {
	watched := make(chan struct{})
	go func() { l.watch(); close(watched) }()
	drains := false
	for {
		select {
		case <-c.closing:
			c.link.Store(nil)
			l.goodbye(ErrClosed)
			<-watched
			return nil
		case <-watched:
			c.link.Store(nil)
			l.gone.Wait()
			cause := l.cause
			if drains {
				cause = drained(cause)
			}
			c.queue.changed(change{lost: cause})
			return c.redial(cause, time.Since(l.born))
		case told := <-l.going:
			drains = true
			if next := c.move(l, told); next != nil {
				c.mu.Lock()
				c.left[l] = struct{}{}
				c.mu.Unlock()
				c.leaving.Add(1)
				go c.leave(l, told.deadline, watched)
				return next
			}
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
	if news.moved != nil {
		c.tellMove(*news.moved)
	}
}

func (c *Client) tellReconnect(renewal Renewal) {
	if f := c.options.onReconnect; f != nil {
		f(renewal)
		return
	}
	c.logNotRenewed(renewal, "mb client: not renewed after a reconnect")
}

func (c *Client) logNotRenewed(renewal Renewal, message string) {
	for _, n := range renewal.Failed {
		what := "registration"
		if n.Subscription != nil {
			what = n.Subscription.pattern
		}
		c.options.logger.Error(message, "subscription", what, "error", n.Err)
	}
}

func (c *Client) tellDisconnect(cause error) {
	if f := c.options.onDisconnect; f != nil {
		f(cause)
	} else if c.options.reconnect && len(c.registry.all()) > 0 {
		c.options.logger.Warn("mb client: the connection was lost; reconnecting", "cause", cause)
	}
}

// redial connects again and renews what the broker forgot, after the loss of a
// connection that stood for so long. It returns nil when the client is finished.
func (c *Client) redial(cause error, stood time.Duration) *link {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer c.whenClosing(cancel)()
	pause := max(c.pauseBefore(0, cause), c.kickPause(cause, stood))
	refusals := 0
	for n := 0; c.options.reconnect && (c.options.attempts == 0 || n < c.options.attempts); n++ {
		if !c.rest(pause) {
			return nil
		}
		l, err := c.connect(ctx, "")
		if err == nil {
			l.stage.set(renewing)
			var r *renewal
			if r, err = c.renew(ctx, l, func() { c.adopt(l) }); err == nil {
				l.stage.set(steady)
				r.conclude()
				return l
			}
			l.fail(err)
			l.gone.Wait()
		}
		cause = fmt.Errorf("reconnecting: %w", err)
		if ctx.Err() == nil && (errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrForbidden)) {
			c.complain(err, "mb client: the reconnect was refused")
		}
		pause = c.pauseBefore(n+1, err)
		if longer := c.refusalPause(refusals, err); longer > 0 {
			pause = longer
			refusals++
		}
	}
	// No connection and none to come.
	c.finish(lost(cause))
	c.queue.end(false)
	return nil
}

// whenClosing calls f when the client is finished, unless the function that it
// returns was called before.
func (c *Client) whenClosing(f func()) (stop func()) {
	stopped := make(chan struct{})
	go func() {
		select {
		case <-c.closing:
			f()
		case <-stopped:
		}
	}()
	return func() { close(stopped) }
}

// rest waits; false when the client is finished meanwhile.
func (c *Client) rest(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.closing:
		return false
	}
}
