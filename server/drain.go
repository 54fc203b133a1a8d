package server

import (
	"context"
	"errors"
	"sync"
)

// drain is a drain that an operator has asked for: the node goes on running. The zero value is one
// that nobody has asked for.
type drain struct {
	// Guarded by mu.
	mu   sync.Mutex
	end  context.CancelFunc // of the one that is on, or has ended; nil: none is
	done chan struct{}      // closed when it has ended
	over bool               // the node itself ends
}

// Drain has a node that is ready send its connections away as Shutdown does, without ending it:
// readiness fails, and after shutdown.delay those who are connected are told when to go. Listeners
// stay open, so that nobody is refused: balancers send nobody, and whoever comes from then on
// stays. rate is how many connections go in a second, 0: shutdown.rate. It does not wait for any of
// that. An error says why not.
func (n *Node) Drain(rate int) error {
	d := &n.drain
	d.mu.Lock()
	defer d.mu.Unlock()
	if !n.broker.Unready() {
		_, word := n.broker.Ready()
		return errors.New("the node is " + word + " already")
	}
	ctx, cancel := context.WithTimeout(n.running, n.cfg.Shutdown.Timeout)
	done := make(chan struct{})
	d.end, d.done = cancel, done
	go func() {
		defer close(done)
		n.sendAway(ctx, rate)
	}()
	return nil
}

// sendAway is Drain beside the caller.
func (n *Node) sendAway(ctx context.Context, rate int) {
	n.broker.AwaitNotice(ctx, n.cfg.Shutdown.DelayAfter(true))
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	s := n.schedule(ctx)
	if rate > 0 {
		s.Rate = rate
	}
	n.broker.Depart(s)
	n.broker.SendAway(ctx)
}

// Undrain ends a drain that Drain has begun: the node is ready again, and whose time to go has not
// come stays. An error says that there is none.
func (n *Node) Undrain() error {
	d := &n.drain
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return errors.New("the node ends")
	}
	d.halt()
	if !n.broker.ReadyAgain() {
		return errors.New("the node is not being drained by an operator")
	}
	return nil
}

// stop is halt for good: the node ends.
func (d *drain) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	d.halt()
}

// halt ends what runs of a drain, and waits for that. The caller holds mu.
func (d *drain) halt() {
	if d.end != nil {
		d.end()
		<-d.done
		d.end = nil
	}
}
