package client

import (
	"context"
	"sync"
	"time"

	"mbserver/codec"
)

// call is one message that waits for its answer. It belongs to one waiter.
type call struct {
	id    codec.UUID
	text  [36]byte // of id
	topic string
	done  chan result // capacity 1; exactly one result, unless abandoned first
}

type result struct {
	payload []byte // owned by the waiter
	err     error  // the connection's, not the answer's
}

var callPool = sync.Pool{New: func() any { return &call{done: make(chan result, 1)} }}

// calls are those in flight on one connection. Any goroutine.
type calls struct {
	// Guarded by mu.
	mu      sync.Mutex
	open    map[codec.UUID]*call
	serving int           // requests that are to be answered here
	idle    chan struct{} // non-nil while somebody waits for there to be none of both
	err     error         // the connection is gone
}

func (cs *calls) add(c *call) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.err != nil {
		return cs.err
	}
	if cs.open == nil {
		cs.open = make(map[codec.UUID]*call)
	}
	cs.open[c.id] = c
	return nil
}

// take removes the call and reports whether it was there: then it is the
// caller's to finish.
func (cs *calls) take(id codec.UUID) (*call, bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c, ok := cs.open[id]
	delete(cs.open, id)
	if cs.idle != nil {
		cs.tellIdle()
	}
	return c, ok
}

// serve counts a request that has come (1), or was answered (-1).
func (cs *calls) serve(delta int) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.serving += delta
	if cs.idle != nil {
		cs.tellIdle()
	}
}

// none returns a channel that is closed when no call is open and no request is
// to be answered. For one caller.
func (cs *calls) none() <-chan struct{} {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	idle := make(chan struct{})
	cs.idle = idle
	cs.tellIdle()
	return idle
}

func (cs *calls) tellIdle() {
	if len(cs.open) == 0 && cs.serving == 0 {
		close(cs.idle)
		cs.idle = nil
	}
}

// fail ends every open call and every later one with err.
func (cs *calls) fail(err error) {
	cs.mu.Lock()
	open := cs.open
	cs.open, cs.err = nil, err
	cs.mu.Unlock()
	for _, c := range open {
		c.done <- result{err: err}
	}
}

// start sends f with a fresh ID, but not when ctx has ended already: an error
// means that nothing was sent. A call that was started is finished by wait,
// which must be called.
func (l *link) start(ctx context.Context, f *frame) (*call, error) {
	if ctx.Err() != nil {
		return nil, gaveUp(ctx, f.topic, "")
	}
	c := callPool.Get().(*call)
	c.id, c.topic = l.client.nextID(), f.topic
	if err := l.calls.add(c); err != nil {
		callPool.Put(c)
		return nil, err
	}
	f.id = c.id.Append(c.text[:0])
	l.client.queue.waiting(1)
	sent, err := l.out.send(ctx.Done(), f)
	if sent {
		return c, nil
	}
	l.client.queue.waiting(-1)
	if err == nil {
		err = gaveUp(ctx, f.topic, c.id.String())
	}
	l.abandon(c)
	return nil, err
}

// abandon forgets the call and gives it back.
func (l *link) abandon(c *call) {
	if _, ok := l.calls.take(c.id); !ok {
		<-c.done // It was being finished: the result is about to be there.
	}
	callPool.Put(c)
}

// wait returns the answer's payload, or the error it says.
func (l *link) wait(ctx context.Context, c *call) ([]byte, error) {
	defer l.client.queue.waiting(-1)
	select {
	case r := <-c.done:
		id, topic := c.id, c.topic
		callPool.Put(c)
		if r.err != nil {
			return nil, r.err
		}
		if len(r.payload) > 0 && r.payload[0] == '{' {
			if e := parseError(r.payload, topic, ""); e != nil {
				e.RequestID = id.String()
				return nil, e
			}
		}
		return r.payload, nil
	case <-ctx.Done():
		err := gaveUp(ctx, c.topic, c.id.String())
		l.abandon(c)
		return nil, err
	}
}

// call is start and wait.
func (l *link) call(ctx context.Context, f *frame) ([]byte, error) {
	c, err := l.start(ctx, f)
	if err != nil {
		return nil, err
	}
	return l.wait(ctx, c)
}

// start is that of the connection in use, or of the one that takes its place
// before f was taken. It refuses first what the broker would refuse.
func (c *Client) start(ctx context.Context, f *frame) (*link, *call, error) {
	l, err := c.current()
	for err == nil {
		if err = l.check(f.topic, f.payload); err != nil {
			break
		}
		f.timeout = min(f.timeout, l.longest())
		var pending *call
		if pending, err = l.start(ctx, f); err == nil {
			return l, pending, nil
		}
		l, err = c.instead(ctx, l, err)
	}
	return nil, nil, err
}

// call makes a call over the connection in use.
func (c *Client) call(ctx context.Context, f *frame) ([]byte, error) {
	l, pending, err := c.start(ctx, f)
	if err != nil {
		return nil, err
	}
	return l.wait(ctx, pending)
}

// insist is call, again after a while when the broker asks for that.
func (l *link) insist(ctx context.Context, f *frame) error {
	for {
		_, err := l.call(ctx, f)
		after, again := RetryAfter(err)
		if !again {
			return err
		}
		timer := time.NewTimer(after)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-l.dead:
			timer.Stop()
			return l.cause
		}
	}
}

// pause waits and reports whether the connection still lives.
func (l *link) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.dead:
		return false
	case <-l.client.closing:
		return false
	}
}
