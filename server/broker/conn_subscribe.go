package broker

import (
	"bytes"
	"slices"

	"mbserver/server/event"
	"mbserver/server/system"
	"mbserver/topic"
)

// subscription is one entry of a connection in the trie.
type subscription struct {
	pattern topic.Pattern
	kind    topic.Kind
	options topic.Options
}

// subscriptionCharge is what a subscription costs beside its pattern's text, which stands in the
// trie and here, in bytes: its place in the trie's table, in this list and in the index of it, with
// the room that they grow by (measured: 150 to 270).
const subscriptionCharge = 256

func (s *subscription) charge() int { return subscriptionCharge + 2*len(s.pattern.String()) }

// indexSubscriptions is the number of subscriptions past which a connection keeps an index. Below,
// a scan is as fast.
const indexSubscriptions = 16

// subscriptions are one connection's: listed, so that they can be told and ended, and found without
// looking at all of them. Their number is bounded (connection.max.subscriptions). nil is that of a
// connection that has asked the node to remember nothing. Loop only, but for what is lent.
type subscriptions struct {
	list  []subscription
	index map[subscriptionKey]int32 // place in list; nil for a short one

	serving int    // those for requests
	kept    int32  // bytes charged for what the node remembers for it: these, profile, log filter
	changes uint32 // of list; round and round
	filters uint16 // changes of its log filter that have begun; round and round
	lent    bool   // a snapshot reads list: what stands there is not written to any more
}

type subscriptionKey struct {
	text string
	kind topic.Kind
}

// remembered is c's subscriptions, to be changed.
func (c *Conn) remembered() *subscriptions {
	if c.subs == nil {
		c.subs = new(subscriptions)
	}
	return c.subs
}

// charged is, in bytes, what is remembered.
func (s *subscriptions) charged() int64 {
	if s == nil {
		return 0
	}
	return int64(s.kept)
}

// all lists them. It is valid until the next change.
func (s *subscriptions) all() []subscription {
	if s == nil {
		return nil
	}
	return s.list
}

// find returns the place of a subscription in list, or -1.
func (s *subscriptions) find(p topic.Pattern, k topic.Kind) int {
	if s == nil {
		return -1
	}
	if s.index != nil {
		if i, ok := s.index[subscriptionKey{p.String(), k}]; ok {
			return int(i)
		}
		return -1
	}
	return slices.IndexFunc(s.list, func(s subscription) bool {
		return s.kind == k && s.pattern.String() == p.String()
	})
}

// lend returns the list as it is now, for another goroutine to read, and the count of its changes.
func (s *subscriptions) lend() (list []subscription, changes uint64) {
	if s == nil {
		return nil, 0
	}
	s.lent = true
	return s.list[:len(s.list):len(s.list)], uint64(s.changes)
}

// writable makes list one that nobody else reads.
func (s *subscriptions) writable() {
	if s.lent {
		s.list, s.lent = slices.Clone(s.list), false
	}
}

// want says whether any is for that kind of message on a canonical topic.
func (s *subscriptions) want(name []byte, k topic.Kind) bool {
	switch {
	case s == nil:
		return false
	case s.index == nil:
		return slices.ContainsFunc(s.list, func(s subscription) bool {
			return s.kind == k && s.pattern.Matches(name)
		})
	case topic.IsSystem(name): // no wildcard matches it
		return s.has(name, k)
	}
	var room [topic.MaxLength + len(".#")]byte
	return s.wantFrom(room[:0], name, k)
}

// wantFrom looks for the patterns that begin as prefix does, whole levels with their dots, and
// match rest behind it: of a topic at most 95. prefix has room for the longest.
func (s *subscriptions) wantFrom(prefix, rest []byte, k topic.Kind) bool {
	if s.has(append(prefix, '#'), k) {
		return true
	}
	level, rest, more := bytes.Cut(rest, []byte{'.'})
	for _, as := range [][]byte{level, {'+'}} {
		text := append(prefix, as...)
		if more && s.wantFrom(append(text, '.'), rest, k) {
			return true
		}
		if !more && (s.has(text, k) || s.has(append(text, ".#"...), k)) {
			return true
		}
	}
	return false
}

// has says whether the index has a pattern, for that kind.
func (s *subscriptions) has(pattern []byte, k topic.Kind) bool {
	_, ok := s.index[subscriptionKey{string(pattern), k}]
	return ok
}

func (s *subscriptions) add(sub subscription) {
	s.changes++
	if sub.kind == topic.Request {
		s.serving++
	}
	s.list = append(s.list, sub) // behind what is lent
	last := len(s.list) - 1
	switch {
	case s.index != nil:
		s.index[subscriptionKey{sub.pattern.String(), sub.kind}] = int32(last)
	case last >= indexSubscriptions:
		s.index = make(map[subscriptionKey]int32, 2*len(s.list))
		for i := range s.list {
			s.index[subscriptionKey{s.list[i].pattern.String(), s.list[i].kind}] = int32(i)
		}
	}
}

// remove takes the subscription at a place away; the last one moves there.
func (s *subscriptions) remove(i int) {
	s.changes++
	s.writable()
	gone, last := s.list[i], len(s.list)-1
	if gone.kind == topic.Request {
		s.serving--
	}
	moved := s.list[last]
	s.list[i] = moved
	s.list[last] = subscription{}
	s.list = s.list[:last]
	if s.index != nil {
		s.index[subscriptionKey{moved.pattern.String(), moved.kind}] = int32(i)
		delete(s.index, subscriptionKey{gone.pattern.String(), gone.kind})
	}
	if last == 0 {
		s.list, s.index = nil, nil // what has grown is given back
	}
}

// missing is how many of those subscriptions c has not.
func (c *Conn) missing(p topic.Pattern, kinds []topic.Kind) (count int) {
	for _, k := range kinds {
		if c.subs.find(p, k) < 0 {
			count++
		}
	}
	return count
}

// subscribe returns the version of the node's interest that other nodes know of it by, 0 when they
// need not.
func (c *Conn) subscribe(p topic.Pattern, k topic.Kind, o topic.Options) (version uint64) {
	b := c.loop.broker
	b.trie.Subscribe(p, k, &c.service, o)
	if i := c.subs.find(p, k); i >= 0 {
		c.subs.changes++
		c.subs.writable()
		was := c.subs.list[i].options.Priority
		c.subs.list[i].options = o
		if k == topic.Request {
			return b.offersAgain(&c.service, p, was, o.Priority)
		}
		return b.interestOf(p)
	}
	sub := subscription{pattern: p, kind: k, options: o}
	served := c.serves()
	c.remembered().add(sub)
	c.noteServing(served)
	c.keep(sub.charge())
	c.note(event.Subscribed, eventKind(k), 0, p.String())
	return b.interestChanged(&c.service, &sub, 1)
}

// endSubscription is unsubscribe for who has asked for it.
func (c *Conn) endSubscription(p topic.Pattern, k topic.Kind) {
	if c.unsubscribe(p, k) {
		c.note(event.Unsubscribed, eventKind(k), 0, p.String())
	}
}

// eventKind is what a subscription of a kind is in events.
func eventKind(k topic.Kind) uint8 {
	if k == topic.Request {
		return event.Requests
	}
	return event.Publishes
}

// unsubscribe ends a subscription, and says whether there was one.
func (c *Conn) unsubscribe(p topic.Pattern, k topic.Kind) (was bool) {
	i := c.subs.find(p, k)
	if i < 0 {
		return false
	}
	b := c.loop.broker
	b.trie.Unsubscribe(p, k, &c.service)
	sub := c.subs.list[i]
	c.keep(-sub.charge())
	served := c.serves()
	c.subs.remove(i)
	c.noteServing(served)
	b.interestChanged(&c.service, &sub, -1)
	return true
}

// leaver is a connection that has left the node, and what the trie still knows of it.
type leaver struct {
	service *service
	subs    []subscription
}

// endAll ends c's subscriptions, because c has left: as many as the turn still may, the others in
// turns to come. Nothing is routed by them from here on: routes leave out who has left, and those
// that are remembered become stale.
func (c *Conn) endAll() {
	l := c.loop
	if c.subs == nil {
		return
	}
	list, beside := c.subs.list, c.subs.charged()
	for i := range list {
		beside -= int64(list[i].charge()) // the loop stays charged until each is gone
	}
	l.remember(-beside)
	c.subs = nil
	if len(list) == 0 {
		return
	}
	l.leaving.push(leaver{&c.service, list})
	l.broker.leaving.Add(1)
	if l.endSubscriptions(); l.leaving.len() > 0 {
		l.broker.trie.Outdate()
		l.broker.wakeQueues()
	}
}

// endSubscriptions ends subscriptions of those who have left, as many as the turn still may.
func (l *Loop) endSubscriptions() {
	b := l.broker
	for l.leaving.len() > 0 && l.mayTake(l.ends.subscriptions) {
		of := l.leaving.first()
		last := len(of.subs) - 1
		s := &of.subs[last]
		b.trie.Unsubscribe(s.pattern, s.kind, of.service)
		b.interestChanged(of.service, s, -1)
		l.remember(-int64(s.charge()))
		l.ends.subscriptions++
		if of.subs = of.subs[:last]; last == 0 {
			b.leaving.Add(-1)
			l.leaving.pop()
		}
	}
}

// interestChanged is the one place that sees a subscription of s come (by +1) or go (by -1). The
// version is of one that has come, as subscribe returns it.
func (b *Broker) interestChanged(s *service, sub *subscription, by int32) (version uint64) {
	p := sub.pattern
	if sub.kind == topic.Request {
		b.wakeQueues() // somebody more may serve what waits, or nobody any more
		if by > 0 {
			return b.offerAbroad(s, p, sub.options.Priority)
		}
		b.withdrawAbroad(s, p, sub.options.Priority)
		return 0
	}
	if !p.System() {
		return b.tellOthers(p, by)
	}
	switch p.String() {
	case system.MessageTopic:
		b.audit.subscribers.Add(by)
	case system.LogTopic:
		b.logStream.Follow(s, by > 0)
	}
	return 0
}
