package broker

import (
	"hash/maphash"

	"mbserver/topic"
)

// route is where a publish on one topic goes, as one loop sees it: its own connections by
// transport, other loops' services in one group per loop. Immutable; valid while the trie's version
// stands, and therefore never names an own connection that has left.
type route struct {
	tcp, ws ownTargets
	remote  []remoteGroup
	total   int
	anyWS   bool   // some target, here or elsewhere, is told whether a message is text
	key     uint64 // names the topic in rings and among waiting publishes; 0: nobody needs it
}

// ownTargets are this loop's connections of one transport, and how each wants its messages: two
// slices of one length.
type ownTargets struct {
	conns      []*Conn
	deliveries []delivery
}

// remoteGroup are the services of another loop; deliveries is as long as targets.
type remoteGroup struct {
	loop       *Loop
	targets    []*service
	deliveries []delivery
}

// topicSeed makes keys of topics unguessable, so that nobody can have two topics conflated into
// one.
var topicSeed = maphash.MakeSeed()

func (l *Loop) buildRoute(name []byte, matches []topic.Match[*service]) *route {
	r := &route{}
	for _, m := range matches {
		s, d := m.Sub, l.broker.deliveryOf(m.Options)
		if s.marked(markLeft) {
			continue // its subscriptions are being ended
		}
		r.total++
		if d&deliverConflate != 0 || l.broker.pause {
			r.key = maphash.Bytes(topicSeed, name) | 1
		}
		r.anyWS = r.anyWS || s.transport == TransportWS
		own := &r.tcp
		switch {
		case s.loop != l:
			r.remote = addTarget(r.remote, s, d)
			continue
		case s.transport == TransportWS:
			own = &r.ws
		}
		own.conns = append(own.conns, l.conns[s.slot])
		own.deliveries = append(own.deliveries, d)
	}
	return r
}

// addTarget puts s into the group of its loop.
func addTarget(groups []remoteGroup, s *service, d delivery) []remoteGroup {
	for i := range groups {
		if g := &groups[i]; g.loop == s.loop {
			g.targets, g.deliveries = append(g.targets, s), append(g.deliveries, d)
			return groups
		}
	}
	return append(groups,
		remoteGroup{loop: s.loop, targets: []*service{s}, deliveries: []delivery{d}})
}
