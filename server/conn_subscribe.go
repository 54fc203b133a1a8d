package server

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

func (c *conn) subscribe(p topic.Pattern, k topic.Kind, o topic.Options) {
	n := c.loop.node
	added := n.trie.Subscribe(p, k, &c.service, o)
	if added {
		c.subs = append(c.subs, subscription{pattern: p, kind: k, options: o})
		n.interestChanged(&c.service, p, k, 1)
		return
	}
	for i := range c.subs {
		if s := &c.subs[i]; s.kind == k && s.pattern.String() == p.String() {
			s.options = o
		}
	}
}

func (c *conn) unsubscribe(p topic.Pattern, k topic.Kind) {
	n := c.loop.node
	if !n.trie.Unsubscribe(p, k, &c.service) {
		return
	}
	n.interestChanged(&c.service, p, k, -1)
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
func (n *Node) interestChanged(s *service, p topic.Pattern, k topic.Kind, by int32) {
	if k == topic.Request {
		n.wakeQueues() // somebody more may serve what waits, or nobody any more
		return
	}
	if !p.System() {
		return
	}
	switch p.String() {
	case system.MessageTopic:
		n.audit.subscribers.Add(by)
	case system.LogTopic:
		n.logStream.Follow(s, by > 0)
	}
}
