package watch

import (
	"sync/atomic"

	"mbserver/codec"
	"mbserver/server/permit"
	"mbserver/topic"
)

// Bounds of one watch.
const (
	RateMost  = 100     // messages a second that it takes
	BytesMost = 4 << 10 // of a payload
	waiting   = 64      // messages that wait for whoever watches
	burst     = 16      // that may be taken at once

	// Charge is what a watch holds at the most, in bytes: its messages, each with its fields.
	Charge = waiting * (BytesMost + 1<<10)
)

// Options say what is wanted.
type Options struct {
	Pattern topic.Pattern
	Actions []codec.Action
	Rate    int           // messages a second that are taken, 1 to RateMost
	Bytes   int           // of a payload, 0 to BytesMost
	Rules   *permit.Rules // of whoever watches; nil: everything may be known
}

// Watch is one look at the messages of a pattern. What loops do with it says so; all else is for
// any goroutine.
type Watch struct {
	// Immutable after New.
	form    form  // of the pattern
	actions uint8 // a bit for each codec.Action
	bytes   int
	pace    *Pace
	passed  []count // by loop

	// Atomic.
	rules  atomic.Pointer[permit.Rules]
	missed atomic.Uint64 // that found no room there

	queue chan *Message
}

// count is one loop's, on a cache line of its own.
type count struct {
	n atomic.Uint64
	_ [56]byte
}

// New returns a watch of a node with so many loops.
func New(o Options, loops int) *Watch {
	w := &Watch{
		form: formOf(o.Pattern.String()), bytes: o.Bytes, pace: NewPace(o.Rate, min(burst, o.Rate)),
		passed: make([]count, loops), queue: make(chan *Message, waiting),
	}
	for _, a := range o.Actions {
		w.actions |= 1 << a
	}
	w.rules.Store(o.Rules)
	return w
}

// Wants says whether a message on a canonical topic of the user is to be looked at.
func (w *Watch) Wants(a codec.Action, name []byte) bool {
	return w.actions&(1<<a) != 0 && w.form.matches(name)
}

// Rules is what whoever watches may know; nil: everything.
func (w *Watch) Rules() *permit.Rules { return w.rules.Load() }

// SetRules changes that.
func (w *Watch) SetRules(r *permit.Rules) {
	if w.rules.Load() != r {
		w.rules.Store(r)
	}
}

// Pass counts a message that the watch wants and that may be known of, and says whether to Offer
// it. now is in ns of the clock. The loop of that index only.
func (w *Watch) Pass(loop int, now int64) bool {
	n := &w.passed[loop].n
	n.Store(n.Load() + 1) // nobody else writes it
	return w.pace.Take(now)
}

// Offer hands a message over, unless too many wait. m is complete but for what the header and the
// payload say, which are copied. It does not wait.
func (w *Watch) Offer(m Message, h *codec.Header, payload []byte) {
	m.Action, m.TimeoutMs, m.Bytes = h.Action, h.TimeoutMs, len(payload)
	m.Topic, m.Version = string(h.Topic), string(h.Version)
	m.RequestID, m.ParentID = string(h.RequestID), string(h.ParentID)
	m.Payload = append([]byte(nil), payload[:min(len(payload), w.bytes)]...)
	select {
	case w.queue <- &m:
	default:
		w.missed.Add(1)
	}
}

// Messages are those that were taken.
func (w *Watch) Messages() <-chan *Message { return w.queue }

// Counts tells how many messages have passed, and how many of those were not taken because whoever
// watches was too slow. What else was not taken was over the rate.
func (w *Watch) Counts() (passed, missed uint64) {
	for i := range w.passed {
		passed += w.passed[i].n.Load()
	}
	return passed, w.missed.Load()
}
