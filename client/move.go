package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"mbserver/codec"
)

// Going to another node while the one in use still serves (protocol §11).
//
// Purpose. A node that is about to go away says when it will close each connection. The client is
// elsewhere by then: no call fails, no message is missed, and none comes twice.
//
// Outline. A little before its time the client connects to another node, and registers and
// subscribes there (move). Then everybody uses the new connection, whose writer waits until the
// old node has handled all that was sent to it, so that publishes keep their order, and has ended
// the subscriptions to publishes, so that nothing further comes from there (cross; what two
// connections deliver is the subject of overlap.go). On the old connection calls wait for their
// answers and requests are answered, then it is closed (leave). One with handlers is left to the
// node: it keeps them for those who are still there to ask, and closes it when nobody needs it.
//
// Nothing is sent twice. A call that finds the old connection closed before it could send goes
// over the new one, and waits for it a little (instead). While no other node can be reached the
// old connection is kept; when it is lost first, that is a loss like any other.

const (
	// moveLead is how long before its time the client begins, at most: by then the node may close
	// the connection. It is half of what is left when that is less.
	moveLead = time.Second
	// movePatience bounds how long the new connection's writer, and what it brings, wait for the
	// old node. After that the order of messages may suffer.
	movePatience = 500 * time.Millisecond
	// moveGap is the longest that a call waits for the new connection, when the old one is gone.
	moveGap = 2 * time.Second
	// moveGrace is how long after the node's deadline it may still speak.
	moveGrace = time.Second
	// maxNotice is the longest time that a notice can tell.
	maxNotice = 24 * time.Hour
)

// errSameNode: the node that goes away is no place to go to.
var errSameNode = errors.New("this is still the node that is going away")

// drainNotice is when the node closes the connection.
type drainNotice struct{ slot, deadline time.Time }

// drains hears that the node is about to go away. Reader only.
func (l *link) drains(payload []byte) {
	var told struct {
		Slot     float64 `json:"reconnectAfterMs"`
		Deadline float64 `json:"deadlineMs"`
	}
	if json.Unmarshal(payload, &told) != nil {
		return
	}
	now := time.Now()
	in := func(ms float64) time.Time {
		ms = min(max(ms, 0), float64(maxNotice/time.Millisecond))
		return now.Add(time.Duration(ms * float64(time.Millisecond)))
	}
	select {
	case l.going <- drainNotice{in(told.Slot), in(max(told.Slot, told.Deadline))}:
	default: // It knows.
	}
}

// move returns a connection to another node, over which everybody goes by now; nil: there is
// none, or the client is finished, and old is what it was. Supervise only.
func (c *Client) move(old *link, told drainNotice) *link {
	left := time.Until(told.slot)
	wait := left - min(left/2, moveLead)
	// A broker that drains whatever connects is not asked in a hurry.
	wait = max(wait, c.options.backoffMin-time.Since(old.born))
	c.options.logger.Debug("mb client: the node is about to go away", "node", old.welcome.NodeID,
		"moving in", wait.Round(time.Millisecond))
	c.queue.overlaps()
	old.stage.set(leaving)
	next := c.moveUntil(old, told, wait)
	if next == nil {
		old.stage.set(steady)
		c.queue.release()
		c.queue.parts()
	}
	return next
}

func (c *Client) moveUntil(old *link, told drainNotice, wait time.Duration) *link {
	if !old.pause(wait) {
		return nil
	}
	c.setMoving(true)
	defer c.setMoving(false)
	ctx, cancel := context.WithDeadline(context.Background(), told.deadline)
	defer cancel()
	defer c.whenClosing(cancel)()
	for n := 1; ; n++ {
		l, err := c.connect(ctx, old.welcome.NodeID)
		if err == nil {
			if err = c.cross(ctx, old, l); err == nil {
				return l
			}
			l.fail(err)
			l.gone.Wait()
		}
		if ctx.Err() != nil || !old.pause(min(c.pauseBefore(n, err), time.Until(told.deadline))) {
			return nil
		}
		c.options.logger.Debug("mb client: no other node yet", "cause", err)
	}
}

// cross makes l, on another node, the connection everybody uses instead of old.
func (c *Client) cross(ctx context.Context, old, l *link) error {
	l.stage.set(joining)
	r, err := c.renew(ctx, l, func() {
		l.out.cork(true)
		c.adopt(l)
		old.out.leave()
	})
	if err != nil {
		return err
	}
	rest := c.settleOld(old)
	l.out.cork(false)
	c.queue.release()
	l.stage.set(joined)
	time.AfterFunc(overlapLinger, func() {
		l.stage.settle()
		c.queue.parts()
	})
	if !rest {
		c.queue.changed(change{lost: old.cause})
	}
	r.moved = rest
	r.conclude()
	return nil
}

// settleOld waits until the node has handled all that was sent over l, and ends the
// subscriptions to publishes there. It reports whether everything that came for them is here.
func (c *Client) settleOld(l *link) bool {
	ctx, cancel := context.WithTimeout(l.ctx, movePatience)
	defer cancel()
	var asked []*call
	ask := func(f *frame) bool {
		pending, err := l.start(ctx, f)
		if err == nil {
			asked = append(asked, pending)
		}
		return err == nil
	}
	listens := false
	for _, s := range latestOf(c.registry.all()) {
		if s.action == codec.Publish {
			listens = true
			if !ask(systemFrame(s.undo, s.undoPayload())) {
				break
			}
		}
	}
	ask(systemFrame(topicHeartbeat, nil)) // Answered when all before it is.
	for _, pending := range asked {
		_, _ = l.wait(ctx, pending) // What is not answered by now is not waited for.
	}
	select {
	case <-l.dead:
		return l.orderly.Load() || !listens
	default:
		return true
	}
}

// leave ends l when nothing is outstanding on it any more. In the background; watched is closed
// when nobody watches it any more.
func (c *Client) leave(l *link, deadline time.Time, watched <-chan struct{}) {
	defer c.leaving.Done()
	if c.registry.serves() && l.pause(time.Until(deadline)) {
		// The node knows when nobody needs the handlers any more, and should have closed it.
		ctx, cancel := context.WithTimeout(l.ctx, moveGrace)
		_ = c.endHandlers(ctx, l) // It is closed anyway.
		cancel()
	}
	timer := time.NewTimer(max(time.Until(deadline), 0) + moveGrace)
	defer timer.Stop()
	cause := errLeft
	select {
	case <-l.calls.none():
	case <-l.dead:
	case <-timer.C:
	case <-c.closing:
		cause = ErrClosed
	}
	l.goodbye(cause)
	<-watched
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.left, l)
}

// setMoving says whether there will soon be another connection.
func (c *Client) setMoving(moving bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if moving {
		c.moving = make(chan struct{})
	} else {
		close(c.moving)
		c.moving = nil
	}
}

// instead returns the connection to use after l has not taken what was to be sent because of
// err, or the error to fail with when there is none. While the client moves it waits, until ctx
// ends or for moveGap.
func (c *Client) instead(ctx context.Context, l *link, err error) (*link, error) {
	c.mu.Lock()
	moving := c.moving
	c.mu.Unlock()
	if next := c.link.Load(); next != nil && next != l {
		return next, nil
	}
	if moving == nil || !errors.Is(err, ErrDisconnected) {
		return nil, err
	}
	c.queue.waiting(1) // A callback that waits here must not keep away what the move needs.
	defer c.queue.waiting(-1)
	timer := time.NewTimer(moveGap)
	defer timer.Stop()
	select {
	case <-moving:
	case <-timer.C:
	case <-c.closing:
		return nil, c.Err()
	case <-ctx.Done():
		return nil, gaveUp(ctx, "", "")
	}
	if next := c.link.Load(); next != nil && next != l {
		return next, nil
	}
	return nil, err
}

// endHandlers ends what l gets requests by. The requests that have come are answered.
func (c *Client) endHandlers(ctx context.Context, l *link) error {
	for _, s := range latestOf(c.registry.all()) {
		if s.action == codec.Request {
			if err := l.insist(ctx, systemFrame(s.undo, s.undoPayload())); err != nil {
				return err
			}
		}
	}
	return nil
}

// onLeft calls f with each connection that was left and is not closed yet: handlers stand there
// too.
func (c *Client) onLeft(f func(*link)) {
	c.mu.Lock()
	left := slices.Collect(maps.Keys(c.left))
	c.mu.Unlock()
	for _, l := range left {
		f(l)
	}
}

// pauseBefore is how long to wait before attempt n, 0 the first, after err: as long as the broker
// asks for, and a random part of that more; else a random part of a time that grows, "full
// jitter", so that many clients spread out.
func (c *Client) pauseBefore(n int, err error) time.Duration {
	var several failures
	if errors.As(err, &several) {
		least := c.pauseBefore(n, several[0])
		for _, e := range several[1:] { // Those that want to be left alone are, see connect.
			least = min(least, c.pauseBefore(n, e))
		}
		return least
	}
	after, again := RetryAfter(err)
	if again && toldWhen(err) {
		return spread(after, c.options.backoffMin)
	}
	longest := c.options.backoffMax
	if d := c.options.backoffMin << min(n, 30); d > 0 && d < longest {
		longest = d
	}
	return after + rand.N(max(longest, 1))
}

// spread makes a time that many are told at once different for each: up to a quarter longer, and
// at least up to least.
func spread(d, least time.Duration) time.Duration { return d + rand.N(max(d/4, least, 1)) }

// toldWhen reports whether the broker said when to come again.
func toldWhen(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	_, told := e.Details["retryAfterMs"].(float64)
	return told
}

// tellMove hands a move to OnMove, or to the log. Dispatch goroutine.
func (c *Client) tellMove(renewal Renewal) {
	if f := c.options.onMove; f != nil {
		f(renewal)
		return
	}
	c.options.logger.Debug("mb client: moved to another node", "service", renewal.ServiceID)
	c.logNotRenewed(renewal, "mb client: not renewed after a move")
}

// drained is why a connection was lost after its node had said that it goes away.
func drained(cause error) error { return lost(fmt.Errorf("the node went away: %w", cause)) }
