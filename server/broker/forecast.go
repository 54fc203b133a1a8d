package broker

import (
	"cmp"
	"slices"
	"strings"

	"mbserver/ringbuf"
	"mbserver/server/permit"
	"mbserver/server/system"
	"mbserver/server/trace"
	"mbserver/topic"
)

// forecast is one that is being made, beside the loops: of what any goroutine may read.
type forecast struct {
	b     *Broker
	at    int64 // Unix ms
	fates []system.Fate
	count map[trace.Stop]int // of each kind
	rest  map[trace.Stop]int // places in fates that stand for those that are not told
	told  []*service         // that are in fates
}

// RulesOf implements system.Node: what a connection of the identity may do, or, when there is none,
// what it may do by the configuration alone.
func (b *Broker) RulesOf(identity string) *permit.Rules {
	for _, s := range b.registry.all() {
		if p := s.particulars.Load(); p != nil {
			if who := p.identity.Load(); who != nil && *who == identity {
				return p.rules.Load()
			}
		}
	}
	a := b.authority.Load()
	switch {
	case a == nil:
		return nil
	case identity == "anonymous":
		return a.Policy.Anonymous()
	}
	return a.Policy.Rules(identity, a.Verifier.Roles(identity))
}

// Forecast implements system.Node. It asks neither rate limits, which a message would pay, nor what
// only a loop knows: whether a subscriber has lost something and not been told yet, and whether
// others wait for the room that a service has.
func (b *Broker) Forecast(q *system.Forecast) []system.Fate {
	f := &forecast{
		b: b, at: b.background.now().UnixMilli(),
		count: make(map[trace.Stop]int), rest: make(map[trace.Stop]int),
	}
	name := []byte(q.Topic)
	f.add(trace.Accepted, nil, "")
	switch {
	case q.Bytes > b.payloadMax:
		f.add(trace.Dropped, nil, "too long")
	case !q.Rules.Topic(q.Verb, name):
		f.add(trace.Forbidden, nil, q.Verb.String())
	case q.Verb == permit.Request:
		f.request(name)
	default:
		f.publish(name, q.Bytes)
	}
	return f.fates
}

// add appends a stop; of many of a kind only the first are told.
func (f *forecast) add(stop trace.Stop, at *service, reason string) {
	if f.count[stop]++; f.count[stop] > trace.Each {
		i, ok := f.rest[stop]
		if !ok {
			i = len(f.fates)
			f.rest[stop] = i
			f.fates = append(f.fates, system.Fate{At: f.at, Stop: stop})
		}
		f.fates[i].More++
		return
	}
	fate := system.Fate{At: f.at, Stop: stop, Reason: reason}
	if at != nil {
		fate.Service = at.id
		f.told = append(f.told, at)
	}
	f.fates = append(f.fates, fate)
}

// match returns who is subscribed, and adds a stop for each.
func (f *forecast) match(name []byte, kind topic.Kind) []topic.Match[*service] {
	all, _ := f.b.trie.Match(name, kind, nil)
	all = slices.DeleteFunc(all, func(m topic.Match[*service]) bool {
		return m.Sub.marked(markLeft)
	})
	if len(all) == 0 {
		f.add(trace.Unrouted, nil, "")
		return nil
	}
	if kind == topic.Request {
		slices.SortStableFunc(all, func(a, b topic.Match[*service]) int {
			return cmp.Compare(b.Options.Priority, a.Options.Priority)
		})
	}
	for i := range all {
		f.add(trace.Matched, all[i].Sub, "")
	}
	f.name(name, kind)
	return all
}

// name finds the patterns by which those match that are told.
func (f *forecast) name(name []byte, kind topic.Kind) {
	var subs []topic.Match[*service]
	eachPattern(string(name), func(text string) {
		p, err := topic.ParsePattern(text)
		if err != nil {
			return
		}
		subs = f.b.trie.Subscribers(p, kind, subs[:0])
		for i := range subs {
			if k := slices.Index(f.told, subs[i].Sub); k >= 0 {
				id := subs[i].Sub.id
				for j := range f.fates {
					if fate := &f.fates[j]; fate.Service == id && fate.Pattern == "" {
						fate.Pattern = p.String()
					}
				}
			}
		}
	})
}

// eachPattern calls f for every pattern that matches a name: each level as it is or open, and the
// last ones open altogether.
func eachPattern(name string, f func(pattern string)) {
	levels := strings.Split(name, ".")
	for n := range len(levels) + 1 {
		for open := range 1 << n {
			some := slices.Clone(levels[:n])
			for i := range some {
				if open>>i&1 != 0 {
					some[i] = "+"
				}
			}
			if n == len(levels) {
				f(strings.Join(some, "."))
			}
			f(strings.Join(append(some, "#"), "."))
		}
	}
}

// publish says what would become of a publish.
func (f *forecast) publish(name []byte, bytes int) {
	size := bytes + len("publish::1.0.0:\n") + len(name) + uuidLen + maxFraming
	for _, m := range f.match(name, topic.Publish) {
		stop, reason := f.b.wouldGet(m.Sub, f.b.deliveryOf(m.Options), size)
		f.add(stop, m.Sub, reason)
	}
}

// wouldGet says what would become of a publish of so many bytes at a subscriber.
func (b *Broker) wouldGet(s *service, d delivery, size int) (stop trace.Stop, reason string) {
	var bytes, messages int64
	if p := s.particulars.Load(); p != nil {
		bytes, messages = p.bytes.Load(), p.messages.Load()
	}
	switch limits := b.droppable; {
	case !s.marked(markStalled) && messages == 0 && size <= limits.Bytes:
		return trace.Delivered, ""
	case int(messages) < limits.Messages && int(bytes)+size <= limits.Bytes:
		return trace.Queued, outcomes[ringbuf.Kept].reason
	case b.pause && d&deliverLossy == 0:
		return trace.Queued, "paused"
	case d&policyMask == deliverDropOldest:
		return trace.Queued, "the oldest give way"
	}
	return trace.Dropped, system.Overflow(d & policyMask).String()
}

// request says what would become of a request.
func (f *forecast) request(name []byte) {
	all := f.match(name, topic.Request)
	if len(all) == 0 {
		return
	}
	var best *service
	priority, fewest := 0.0, int32(0)
	for _, due := range []uint32{markDue, 0} { // who has to go only when nobody else may have it
		for _, m := range all {
			n := m.Sub.outstanding.Load()
			if m.Sub.marked(due) || !m.Sub.hasRoom(n) {
				continue
			}
			if best == nil || m.Options.Priority == priority && n < fewest {
				best, priority, fewest = m.Sub, m.Options.Priority, n
			}
		}
		if best != nil {
			f.add(trace.Delivered, best, "")
			return
		}
	}
	switch b := f.b; {
	case b.queuedPerTopic == 0:
		f.add(trace.Dropped, nil, "queue_full")
	case b.overBudget() || b.queuedBytes.Load() > b.waitBytes:
		f.add(trace.Dropped, nil, "memory")
	default:
		f.add(trace.Queued, nil, "no service has room")
	}
}
