// Package load has clients of this process publish and subscribe on a node that runs anywhere, and
// says what they see: rates, latency, losses. What that costs the node it does not know.
package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"mbserver/client"
)

// Options of a run.
type Options struct {
	// Dial connects; it is called for each publisher and subscriber.
	Dial        func(ctx context.Context, opts ...client.Option) (*client.Client, error)
	Topic       string // all publish on it, and all subscribe to it
	Publishers  int
	Subscribers int
	Payload     int           // bytes, at least LeastPayload
	Rate        float64       // messages a second, of all publishers together; 0: no limit
	Duration    time.Duration // of publishing
	Ack         bool          // ask for acknowledgements, at most ackWindow open ones a publisher
}

// LeastPayload is the smallest payload in bytes: the time at which it was sent.
const LeastPayload = 16

// Bounds of a run.
const (
	ackWindow = 256
	longest   = time.Minute // latency that is told apart
	quiet     = time.Second // without a delivery: what is missing does not come any more
)

// Result is what the clients saw.
type Result struct {
	Published int64         // messages sent
	Took      time.Duration // publishing them, until the node had taken all
	Delivered int64
	Arriving  time.Duration // from the first message sent to the last delivery
	Dropped   int64         // deliveries that subscribers were told to have lost
	Missing   int64         // those that nobody was told of, for whatever reason
	Refused   int64         // publishes that were answered with an error
	Refusal   error         // the first such error
	// Latency from publishing to the subscriber's callback, in nanoseconds. With a rate it counts
	// from the time at which the message was due, when its publisher was held up.
	Latency *hdrhistogram.Histogram
}

// name is what the clients are called in the node's lists.
const name = "mb bench"

// shards are histograms between which subscribers are divided.
const shards = 16

// run is a run under way.
type run struct {
	options     Options
	publishers  []*client.Client
	subscribers []*client.Client
	start       time.Time

	latency [shards]struct {
		sync.Mutex
		*hdrhistogram.Histogram
	}

	// Atomic.
	published, delivered, dropped, refused atomic.Int64
	lastDelivery                           atomic.Int64 // nanoseconds after start

	// Guarded by mu.
	mu      sync.Mutex
	refusal error
}

// Run connects all, publishes for the duration or until ctx ends, and waits for what is on its
// way. An error says what could not be done; there is no result then.
func Run(ctx context.Context, o Options) (*Result, error) {
	r := &run{options: o}
	for i := range r.latency {
		r.latency[i].Histogram = newHistogram()
	}
	defer r.close()
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	r.start = time.Now()
	failed := make([]error, len(r.publishers))
	var working sync.WaitGroup
	for i, c := range r.publishers {
		working.Go(func() { failed[i] = r.publish(ctx, c, i) })
	}
	working.Wait()
	took := time.Since(r.start)
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	if err := r.settle(); err != nil {
		return nil, err
	}
	result := &Result{
		Published: r.published.Load(), Took: took, Delivered: r.delivered.Load(),
		Arriving: time.Duration(r.lastDelivery.Load()), Dropped: r.dropped.Load(),
		Refused: r.refused.Load(), Latency: newHistogram(),
	}
	r.mu.Lock()
	result.Refusal = r.refusal
	r.mu.Unlock()
	result.Missing = max(r.expected()-result.Delivered-result.Dropped, 0)
	for i := range r.latency { // Late deliveries may still come.
		h := &r.latency[i]
		h.Lock()
		result.Latency.Merge(h.Histogram)
		h.Unlock()
	}
	return result, nil
}

// newHistogram tells apart a microsecond, with three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(longest), 3)
}

func (r *run) close() {
	for _, c := range append(r.publishers, r.subscribers...) {
		_ = c.Close() // It never fails.
	}
}

// connect dials all, the subscribers first.
func (r *run) connect(ctx context.Context) error {
	for i := range r.options.Subscribers {
		c, err := r.options.Dial(ctx, client.WithoutReconnect(), client.WithName(name),
			client.OnGap(func(g client.Gap) { r.dropped.Add(int64(g.Count)) }))
		if err != nil {
			return fmt.Errorf("subscriber %d: %w", i+1, err)
		}
		r.subscribers = append(r.subscribers, c)
		_, err = c.Subscribe(ctx, r.options.Topic, func(m client.Message) { r.take(i, m.Payload) })
		if err != nil {
			return fmt.Errorf("subscriber %d: %w", i+1, err)
		}
	}
	for i := range r.options.Publishers {
		c, err := r.options.Dial(ctx, client.WithoutReconnect(), client.WithName(name),
			client.OnError(r.refuse))
		if err != nil {
			return fmt.Errorf("publisher %d: %w", i+1, err)
		}
		r.publishers = append(r.publishers, c)
	}
	return nil
}

// take notes a delivery to a subscriber.
func (r *run) take(subscriber int, payload []byte) {
	now := time.Since(r.start)
	if sent, ok := readStamp(payload); ok {
		h := &r.latency[subscriber%shards]
		h.Lock()
		_ = h.RecordValue(min(max(int64(now-sent), 0), int64(longest))) // It fits.
		h.Unlock()
	}
	r.lastDelivery.Store(int64(now))
	r.delivered.Add(1)
}

// refuse notes a publish that was answered with an error.
func (r *run) refuse(e *client.Error) {
	count := int64(1)
	if n, ok := e.Details["count"].(uint64); ok && e.Code == client.CodeEventsDropped {
		count = int64(n) // refusals that were not told one by one
	}
	r.refused.Add(count)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusal == nil {
		r.refusal = e
	}
}

// expected is how many deliveries there are to be.
func (r *run) expected() int64 {
	return max(r.published.Load()-r.refused.Load(), 0) * int64(r.options.Subscribers)
}

// settle waits until all deliveries have come or been told as lost, or until none comes any more.
func (r *run) settle() error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	since, last := time.Now(), int64(-1)
	for {
		have := r.delivered.Load() + r.dropped.Load()
		if have >= r.expected() {
			return nil
		}
		if have != last {
			since, last = time.Now(), have
		}
		if time.Since(since) > quiet {
			return nil
		}
		for _, c := range r.subscribers {
			if err := c.Err(); err != nil {
				return fmt.Errorf("a subscriber: %w", err)
			}
		}
		<-tick.C
	}
}
