package client

import (
	"context"
	"iter"
	"sync"
)

// Stream is a subscription whose messages are taken one by one instead of
// being handed to a callback. Who does not take them is a slow callback: see
// the top of the package. Any goroutine; several share the messages.
type Stream struct {
	// Immutable after Client.Stream.
	client       *Client
	subscription *Subscription
	messages     chan Message
	stopped      chan struct{}
	revoked      chan struct{} // closed when the broker has ended it

	stop sync.Once
}

// Stream subscribes to the pattern like Subscribe. It must be read, or ended
// with Stop: until then it holds up the other callbacks of the client.
func (c *Client) Stream(ctx context.Context, pattern string, opts ...SubOption) (*Stream, error) {
	s := &Stream{client: c, messages: make(chan Message),
		stopped: make(chan struct{}), revoked: make(chan struct{})}
	own := func(f *subscribeFields) {
		f.borrow = false // It outlives the callback.
		f.revoked = func() { close(s.revoked) }
	}
	sub, err := c.Subscribe(ctx, pattern, func(m Message) {
		select {
		case s.messages <- m:
		case <-s.stopped:
		case <-s.revoked:
		case <-c.queue.stop:
		}
	}, append(opts[:len(opts):len(opts)], own)...)
	if err != nil {
		return nil, err
	}
	s.subscription = sub
	return s, nil
}

// Next waits for the next message. It fails when ctx ends, with ErrClosed after
// Stop, with an [ErrForbidden] when the broker has ended the subscription (see
// [OnRevoked]), and with the client's error when the client is finished and no
// message is left.
func (s *Stream) Next(ctx context.Context) (Message, error) {
	select {
	case m := <-s.messages:
		return m, nil
	case <-s.stopped:
		return Message{}, ErrClosed
	case <-s.revoked:
		return Message{}, s.subscription.Err()
	case <-ctx.Done():
		return Message{}, gaveUp(ctx, "", "")
	case <-s.client.done:
		return Message{}, s.client.Err()
	}
}

// All takes messages until the loop is left, which does not end the
// subscription, or Next fails: that error is the last that it yields.
func (s *Stream) All(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for {
			m, err := s.Next(ctx)
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Stop ends the stream at once and unsubscribes like [Subscription.Unsubscribe].
func (s *Stream) Stop(ctx context.Context) error {
	s.stop.Do(func() { close(s.stopped) })
	return s.subscription.Unsubscribe(ctx)
}
