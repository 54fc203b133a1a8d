//go:build race || simfault

package broker

import "fmt"

// invariants says that this build looks at what must hold between any two turns, and panics where
// it does not: builds for the race detector and for the simulation's faults. So the black-box
// tests, which run under the race detector, hold a node over real sockets to it too. A panic is
// logged and counted like any other, and fails those tests.
const invariants = true

// checkInvariants looks at the loop at the end of its turn. Loop only.
func (l *Loop) checkInvariants() {
	must := func(holds bool, format string, args ...any) {
		if !holds {
			panic("invariant: " + fmt.Sprintf(format, args...))
		}
	}
	gives, closing := l.takesMore(), l.closing.len() > 0
	must(gives || l.turn.Len() == 0, "%d bytes are left in the turn's frames", l.turn.Len())
	must(gives || len(l.dirty) == 0, "%d are dirty", len(l.dirty))
	must(len(l.prompt) == 0, "%d are to be answered", len(l.prompt))
	must(len(l.turn.Told) == 0 && l.trace.mark == 0, "%d outcomes are not heeded, mark %x",
		len(l.turn.Told), l.trace.mark)
	must(l.charge >= 0, "the loop is charged %d bytes", l.charge)
	must(l.parkedCount >= 0, "%d publishes wait", l.parkedCount)
	must(l.outstanding.count >= 0 && l.outstanding.count <= len(l.outstanding.slots),
		"%d requests in %d slots", l.outstanding.count, len(l.outstanding.slots))
	for _, c := range some(l, l.conns) {
		if c == nil {
			continue
		}
		must((c.dirty == clean || gives && c.dirty == dirtyAll) &&
			(c.state != stateClosing || closing),
			"%v was left behind: dirty %v, state %d", c.id, c.dirty, c.state)
		must(c.charge() >= int64(c.out.Held()), "%v (dirty %v) is charged %d and holds %d",
			c.id, c.dirty, c.charge(), c.out.Held())
		requests := int32(0)
		for range c.requests.All() {
			requests++
		}
		must(requests <= c.service.outstanding.Load(), "%v has %d requests, outstanding are %d",
			c.id, requests, c.service.outstanding.Load())
	}
	for _, q := range some(l, l.queues.busy) {
		if err := q.Check(); err != nil {
			panic("invariant: on " + q.topic + ": " + err.Error())
		}
	}
}

// checkedMost is how many connections, and how many queues, are looked at after one turn, others in
// each millisecond, so that a loop with many is not slowed to a crawl.
const checkedMost = 64

// some is those of all that l looks at now.
func some[T any](l *Loop, all []T) []T {
	if len(all) <= checkedMost {
		return all
	}
	from := int(l.time.Ms) * checkedMost % len(all)
	return all[from:min(from+checkedMost, len(all))]
}
