package broker

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/server/permit"
	"mbserver/server/system"
	"mbserver/server/trace"
)

const (
	// inquestsMax is how many questions for a message may be under way in a node: each has every
	// loop look through its book, some hundred microseconds when that is full.
	inquestsMax = 8

	// sharing is how many messages of one ID a loop looks for: any client may choose any ID.
	sharing = 8

	// armsMax is for how many patterns and services somebody may have armed at a time: each
	// message is held against all of them.
	armsMax = 8
)

// arming is what is armed for. Any goroutine.
type arming struct {
	mu   sync.Mutex
	arms []arm
}

// onAll has f run on every loop, and then once what comes after that, on one of them. Nobody waits.
// Any goroutine.
func (b *Broker) onAll(f func(*Loop), then func()) {
	var left atomic.Int32
	left.Store(int32(len(b.loops)))
	for _, l := range b.loops {
		l.call(func(l *Loop) {
			defer func() {
				if left.Add(-1) == 0 {
					then()
				}
			}()
			l.guard(nil, func() { f(l) })
		})
	}
}

// inquest asks all loops for a message: first which of theirs have the ID, under which receivers
// may know it on another loop than its own, then what became of these. Both are asked when there
// are none, too: who may not see a message is not to learn by the time that there is one.
type inquest struct {
	id    codec.UUID
	since int64 // Unix ms

	// By loop, which writes its own; read when all have.
	found [][]trace.Mark
	marks []trace.Mark // all that were found
	known [][]trace.Account
}

// find is the first step, on a loop.
func (q *inquest) find(l *Loop) {
	if book := l.trace.book; book != nil {
		q.found[l.index] = book.Find(q.id, q.since, sharing, nil)
	}
}

// tell is the second one.
func (q *inquest) tell(l *Loop) {
	defer l.checkClock() // it may have taken long
	if book := l.trace.book; book != nil {
		q.known[l.index] = book.Tell(q.marks...)
	}
}

// Fates implements system.Caller.
func (k *caller) Fates(
	id codec.UUID, answer func(c system.Caller, fates []system.Fate, found bool) *system.Error,
) *system.Error {
	l, b := k.c.loop, k.c.loop.broker
	if b.inquests.Add(1) > inquestsMax {
		b.inquests.Add(-1)
		return busy
	}
	l.publishCounts()
	q := &inquest{
		id: id, since: l.time.Unix - trace.Age,
		found: make([][]trace.Mark, len(b.loops)), known: make([][]trace.Account, len(b.loops)),
	}
	finish := k.afterwards()
	k.c.owe()
	end := func() {
		b.inquests.Add(-1)
		finish(func(c system.Caller) *system.Error {
			fates, found := q.shown(c.(*caller).c)
			return answer(c, fates, found)
		})
	}
	b.onAll(q.find, func() {
		for _, marks := range q.found {
			q.marks = append(q.marks, marks...)
		}
		slices.Sort(q.marks)
		q.marks = slices.Compact(q.marks)
		b.onAll(q.tell, end)
	})
	return nil
}

// afterwards returns what ends the request on this loop when something is done elsewhere; the
// connection is owed that. What it returns may be called by any goroutine, once.
func (k *caller) afterwards() func(finish func(system.Caller) *system.Error) {
	l, s, h := k.c.loop, &k.c.service, k.h.Clone()
	return func(finish func(system.Caller) *system.Error) {
		l.call(func(l *Loop) {
			if c := l.askerOf(s); c != nil {
				l.guard(c, func() { l.finishJob(c, &h, finish) })
			}
		})
	}
}

// shown is what c may see of the latest message that it may see at all.
func (q *inquest) shown(c *Conn) (fates []system.Fate, found bool) {
	var latest *trace.Account
	for _, known := range q.known {
		for i := range known {
			a := &known[i]
			if a.Sender != (codec.UUID{}) && c.maySee(a) && (latest == nil || a.At >= latest.At) {
				latest = a
			}
		}
	}
	if latest == nil {
		return nil, false
	}
	fates = appendFates(fates, latest)
	for _, known := range q.known {
		for i := range known {
			if a := &known[i]; a.Mark == latest.Mark && a != latest {
				fates = appendFates(fates, a)
			}
		}
	}
	slices.SortStableFunc(fates, func(a, b system.Fate) int { return cmp.Compare(a.At, b.At) })
	return fates, true
}

func appendFates(to []system.Fate, a *trace.Account) []system.Fate {
	for i := range a.Entries {
		e := &a.Entries[i]
		to = append(to, system.Fate{
			At: e.At, Stop: e.Stop, Service: e.Service, Reason: e.Reason, Pattern: e.Pattern,
			More: int(e.More),
		})
	}
	return to
}

// maySee says whether c may see what became of a message: it, or somebody else of its identity,
// has sent it, or it may subscribe, request or respond on its topic.
func (c *Conn) maySee(a *trace.Account) bool {
	if a.Sender == c.id {
		return true
	}
	s := c.standing
	switch {
	case s == nil || s.rules == nil:
		return true
	case s.grant != nil && a.Identity != "" && a.Identity == s.grant.Identity:
		return true
	}
	return a.Topic != "" && c.mayAudit([]byte(a.Topic))
}

// Rules implements system.Caller.
func (k *caller) Rules() *permit.Rules {
	if s := k.c.standing; s != nil {
		return s.rules
	}
	return nil
}

// Identity implements system.Caller.
func (k *caller) Identity() string {
	if s := k.c.standing; s != nil && s.grant != nil {
		return s.grant.Identity
	}
	return ""
}

// Arm implements system.Caller.
func (k *caller) Arm(a system.Arm, done func(c system.Caller) *system.Error) *system.Error {
	l, b := k.c.loop, k.c.loop.broker
	one := arm{service: a.Service, until: l.time.Ms + a.ForMs}
	if a.Pattern.String() != "" {
		one = armOf(a.Pattern, l.time.Ms+a.ForMs)
	}
	arms, ok := b.arming.change(one, l.time.Ms)
	if !ok {
		return busy
	}
	finish := k.afterwards()
	k.c.owe()
	b.onAll(func(l *Loop) { l.lookAt(arms) }, func() { finish(done) })
	return nil
}

// change adds an arm, or replaces or ends the one for the same, and returns all that stand at a
// time; false: there are too many.
func (g *arming) change(one arm, now int64) (all []arm, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.arms {
		if a.until > now && !a.same(&one) {
			all = append(all, a)
		}
	}
	if one.until > now {
		if len(all) >= armsMax {
			return nil, false
		}
		all = append(all, one)
	}
	g.arms = all
	return slices.Clone(all), true
}
