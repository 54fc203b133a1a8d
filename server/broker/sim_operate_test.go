package broker

import (
	"fmt"
	"strings"

	"mbserver/server/system"
	"mbserver/topic"
)

// What operators do in a simulation, and the laws: of what a muted client sends nothing arrives,
// and it is given no request that was made meanwhile; who was not is not told that it is; it ends.
// Who is kicked is told so once. What an ended subscription had put on its way does not arrive.

// simActedOn is what operators have done to a client.
type simActedOn struct {
	kicks, told int
	mutes       int
	mutedUntil  int64 // ms: surely
	mutedSince  int   // requests up to this number may have been given to it before
	ending      *simTaken
	without     []*simTaken
}

// simTaken is a subscription that has ended, and those that its client had beside it.
type simTaken struct {
	pattern topic.Pattern
	others  []topic.Pattern
	done    bool
}

// lacks says whether no subscription that c may have would bring it a publish.
func (c *permitClient) lacks(name string) bool {
	for _, w := range c.without {
		lacks := w.pattern.Matches([]byte(name))
		for _, other := range w.others {
			lacks = lacks && !other.Matches([]byte(name))
		}
		if lacks {
			return true
		}
	}
	return false
}

// widen notes that c may have a subscription more.
func (c *permitClient) widen(pattern string) {
	p, _ := topic.ParsePattern(pattern)
	for _, w := range c.without {
		w.others = append(w.others, p)
	}
}

// silent says whether nothing that c sends now may be taken.
func (s *permitSim) silent(c *permitClient) bool {
	return c.kicks > 0 || s.n.ms < c.mutedUntil
}

// operate has an operator act on a client.
func (s *permitSim) operate(c *permitClient) {
	o := system.Order{Deed: system.Deed(s.random.IntN(3)), Of: c.id}
	for _, behind := range s.clients { // of whom more can be taken back
		if o.Deed == system.Unsubscribe && !behind.gone && !behind.out.Empty() {
			c, o.Of = behind, behind.id
		}
	}
	did, not := func(*Loop) {}, func() {}
	switch o.Deed {
	case system.Kick:
		if s.random.IntN(4) > 0 {
			return
		}
		did = func(*Loop) { c.kicks++ }
	case system.Mute:
		o.ForMs = int64(max(s.random.IntN(1500)-200, 0))
		did = func(l *Loop) {
			c.mutes++
			c.mutedUntil, c.mutedSince = l.time.Ms+o.ForMs, s.ids
			if o.ForMs == 0 {
				c.mutedUntil = 0
			}
		}
	case system.Unsubscribe:
		if c.ending != nil || c.paused != nil || len(c.subs.all()) == 0 {
			return // what it has sent and was not taken may be a subscription
		}
		sub := c.subs.list[s.random.IntN(len(c.subs.list))]
		for _, other := range c.subs.list {
			if sub.kind == topic.Request && s.random.IntN(2) == 0 {
				sub = other
			}
		}
		o.Pattern, o.Kinds = sub.pattern, []topic.Kind{sub.kind}
		if sub.kind == topic.Publish {
			e := &simTaken{pattern: sub.pattern}
			c.ending = e
			did = func(*Loop) { e.done = true }
			not = func() { c.ending = nil }
		}
	}
	s.say("an operator: %d %v %d ms %v %v", s.index(c), o.Deed, o.ForMs, o.Pattern, o.Kinds)
	of, told := &c.Conn.service, 0
	of.loop.call(func(l *Loop) {
		l.operate(of, system.Actor{}, &o, func(l *Loop, ended int, err *system.Error) {
			if told++; told > 1 {
				s.n.faults = append(s.n.faults, fmt.Sprint("told twice of ", o.Deed))
			}
			switch {
			case o.Deed != system.Unsubscribe && err == nil:
				did(l)
			case ended > 0:
				did(l)
				s.totals["unsubscribed"]++
			default:
				not()
			}
		})
	})
}

// settleOrders notes what has been done of orders, when what came before was looked at.
func (s *permitSim) settleOrders() {
	for _, c := range s.clients {
		e := c.ending
		if e == nil || !e.done {
			continue
		}
		c.ending = nil
		if c.paused != nil || c.state != stateOpen {
			continue
		}
		for _, sub := range c.subs.all() {
			if sub.kind == topic.Publish {
				e.others = append(e.others, sub.pattern)
			}
		}
		c.without = append(c.without, e)
		c.partial = len(c.raw) > 0
	}
}

// judgeRequest holds a request that has come to the law.
func (s *permitSim) judgeRequest(c *permitClient, number int, system bool) {
	if !system && s.n.ms < c.mutedUntil && number > c.mutedSince {
		s.fail("%d is muted and got request %d, made after %d", s.index(c), number, c.mutedSince)
	}
}

// judgeOrder holds an error to the law.
func (s *permitSim) judgeOrder(c *permitClient, payload string) {
	switch {
	case strings.Contains(payload, `"reason":"kicked"`):
		s.totals["kicked"]++
		if c.told++; c.told > c.kicks {
			s.fail("%d is told that it is kicked", s.index(c))
		}
	case strings.Contains(payload, `"reason":"muted"`):
		s.totals["muted"]++
		if c.mutes == 0 {
			s.fail("%d is told that it is muted", s.index(c))
		}
	}
}

// endOrders holds to the law what has become of those on whom operators have acted.
func (s *permitSim) endOrders() {
	for _, c := range s.clients {
		if c.kicks > 0 && c.told != 1 && !c.gone && !c.aborted {
			s.fail("%d was kicked %d times and told so %d times", s.index(c), c.kicks, c.told)
		}
	}
	s.n.pass(2000)
	for _, c := range s.clients {
		switch {
		case c.state != stateOpen || c.mutes == 0:
		case c.muted() || c.marked(markStalled):
			s.fail("%d stays muted", s.index(c))
		default:
			s.totals["let speak"]++
		}
	}
}
