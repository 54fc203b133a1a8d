package broker

import (
	"bytes"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/server/permit"
	"mbserver/server/watch"
	"mbserver/topic"
)

// watches are those who look at messages as they pass, for operators (package watch). Who watches
// is no subscriber: nothing that clients see depends on it. It costs a load for each message while
// nobody watches.
type watches struct {
	// Atomic.
	list atomic.Pointer[[]*watch.Watch] // immutable; nil: nobody watches
	held atomic.Int64                   // bytes

	mu sync.Mutex // held by who changes list
}

// Watch begins a look at messages, until stop is called. The loops see to it that nobody is shown
// what its rules do not allow to be known, as in the audit; whoever shows payloads looks at
// permissions once more. How many watches there are is bounded by whoever calls. Any goroutine.
func (b *Broker) Watch(o watch.Options) (w *watch.Watch, stop func()) {
	w = watch.New(o, len(b.loops))
	b.watches.change(func(all []*watch.Watch) []*watch.Watch { return append(all, w) })
	return w, sync.OnceFunc(func() {
		b.watches.change(func(all []*watch.Watch) []*watch.Watch {
			return slices.DeleteFunc(all, func(other *watch.Watch) bool { return other == w })
		})
	})
}

// ObserveLog has see called for each line of the log of level least and above, as the JSON that
// services get, until stop is called. see must not wait, and keeps nothing of the line. Any
// goroutine.
func (b *Broker) ObserveLog(
	least slog.Level, see func(module string, line []byte),
) (stop func()) {
	return b.logStream.Observe(least, see)
}

// PastLog is ObserveLog for the lines that were written last. It returns when see has seen them.
func (b *Broker) PastLog(least slog.Level, see func(module string, line []byte)) {
	b.logStream.Past(least, see)
}

// change puts what f makes of a copy of the list in its place.
func (s *watches) change(f func([]*watch.Watch) []*watch.Watch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*watch.Watch
	if list := s.list.Load(); list != nil {
		all = slices.Clone(*list)
	}
	all = f(all)
	s.held.Store(int64(len(all)) * watch.Charge)
	if len(all) == 0 {
		s.list.Store(nil)
		return
	}
	s.list.Store(&all)
}

// watched says whether somebody watches. Any goroutine.
func (b *Broker) watched() bool { return b.watches.list.Load() != nil }

// show offers a message of a service on a canonical topic of the user to those who watch. Of a
// publish, reached is to how many it goes.
func (l *Loop) show(from *service, h *codec.Header, name, payload []byte, reached int) {
	list := l.broker.watches.list.Load()
	if list == nil {
		return
	}
	for _, w := range *list {
		if !w.Wants(h.Action, name) {
			continue
		}
		if r := w.Rules(); r != nil && !mayUse(l.verdictOf(r, name)) {
			continue
		}
		if w.Pass(l.index, l.time.Ns) {
			w.Offer(watch.Message{At: l.time.Unix, From: from.id, Reached: reached}, h, payload)
		}
	}
}

// showAnswer is show for the answer of a service to e, under the topic that was asked.
func (l *Loop) showAnswer(e *entry, payload []byte) {
	h := codec.Header{Action: codec.Response}
	var rest []byte
	h.Topic, rest, _ = bytes.Cut(e.header, []byte{':'})
	h.Version, rest, _ = bytes.Cut(rest, []byte{':'})
	if e.hasID {
		h.RequestID = rest
	}
	l.lower = topic.Lower(l.lower[:0], h.Topic)
	l.show(e.targetService(), &h, l.lower, payload, 0)
}

// mayUse says whether anything is permitted by which its holder could see a topic's messages.
func mayUse(v verdict) bool {
	return v.allows(permit.Subscribe) || v.allows(permit.Request) || v.allows(permit.Respond)
}

// count is how many look at messages. Any goroutine.
func (s *watches) count() int {
	if list := s.list.Load(); list != nil {
		return len(*list)
	}
	return 0
}
