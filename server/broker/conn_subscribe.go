package broker

import (
	"mbserver/server/system"
	"mbserver/topic"
)

// subscription is one entry of a connection in the trie.
type subscription struct {
	pattern topic.Pattern
	kind    topic.Kind
	options topic.Options
}

func (c *Conn) subscribe(p topic.Pattern, k topic.Kind, o topic.Options) {
	b := c.loop.broker
	added := b.trie.Subscribe(p, k, &c.service, o)
	if added {
		c.subs = append(c.subs, subscription{pattern: p, kind: k, options: o})
		b.interestChanged(&c.service, p, k, 1)
		return
	}
	for i := range c.subs {
		if s := &c.subs[i]; s.kind == k && s.pattern.String() == p.String() {
			s.options = o
		}
	}
}

func (c *Conn) unsubscribe(p topic.Pattern, k topic.Kind) {
	b := c.loop.broker
	if !b.trie.Unsubscribe(p, k, &c.service) {
		return
	}
	b.interestChanged(&c.service, p, k, -1)
	for i := range c.subs {
		if s := &c.subs[i]; s.kind == k && s.pattern.String() == p.String() {
			last := len(c.subs) - 1
			c.subs[i] = c.subs[last]
			c.subs[last] = subscription{}
			c.subs = c.subs[:last]
			return
		}
	}
}

// interestChanged is the one place that sees a subscription of s come (by +1) or go (by -1).
func (b *Broker) interestChanged(s *service, p topic.Pattern, k topic.Kind, by int32) {
	if k == topic.Request {
		b.wakeQueues() // somebody more may serve what waits, or nobody any more
		return
	}
	if !p.System() {
		return
	}
	switch p.String() {
	case system.MessageTopic:
		b.audit.subscribers.Add(by)
	case system.LogTopic:
		b.logStream.Follow(s, by > 0)
	}
}
