package broker

import (
	"unsafe"

	"mbserver/topic"
)

// route is where a publish on one topic goes, as one loop sees it.
type route struct {
	*targets
	key uint64 // names the topic in rings and among waiting publishes; 0: nobody needs it
}

// targets are whom a publish goes to: the loop's own connections by wire form, other loops'
// services in one group per loop, other nodes. Topics that the same patterns match share one.
// Immutable; valid while the trie's version stands, and therefore never names an own connection
// that has left.
type targets struct {
	own    []ownTargets // one for each wire form that somebody takes
	remote []remoteGroup
	nodes  []uint32 // other nodes, by slot (interest.go); nil: none
	total  int      // without those of other nodes
	anyWS  bool     // some target, here or elsewhere, is told whether a message is text
	keyed  bool     // somebody needs the topic's key
}

// ownTargets are this loop's connections that take one wire form, and how each wants its messages:
// two slices of one length.
type ownTargets struct {
	form       wireForm
	conns      []*Conn
	deliveries []delivery
}

// remoteGroup are the services of another loop; deliveries is as long as targets.
type remoteGroup struct {
	loop       *Loop
	targets    []*service
	deliveries []delivery
}

// nobody is where a publish goes that nobody is subscribed to.
var nobody = new(targets)

// routeOf returns the route of a canonical topic.
func (l *Loop) routeOf(name []byte) route {
	return l.routeAt(l.routes.publishes.Find(name), name)
}

// routeAt is routeOf for a topic of which Find has just returned e.
func (l *Loop) routeAt(e *topic.Entry[*service, *targets], name []byte) route {
	t, key, ok := e.Fresh()
	if !ok {
		t, key = l.routes.publishes.Renew(e, name)
	}
	if !t.keyed {
		key = 0
	}
	return route{t, key}
}

// buildTargets returns what matches make, and how many bytes that holds.
func (l *Loop) buildTargets(matches []topic.Match[*service]) (t *targets, bytes int) {
	if len(matches) == 0 {
		return nobody, 0
	}
	t = &targets{keyed: l.broker.pause}
	for _, m := range matches {
		s, d := m.Sub, l.broker.deliveryOf(m.Options)
		if s.marked(markLeft) {
			continue // its subscriptions are being ended
		}
		if s.loop == nil {
			t.nodes = append(t.nodes, s.slot)
			continue
		}
		t.total++
		t.keyed = t.keyed || d&deliverConflate != 0
		t.anyWS = t.anyWS || s.form != formTCP
		if s.loop != l {
			t.remote = addTarget(t.remote, s, d)
			continue
		}
		own := t.ownOf(s.form)
		own.conns = append(own.conns, l.conns[s.slot])
		own.deliveries = append(own.deliveries, d)
	}
	return t, t.bytes()
}

// ownOf returns where connections of a wire form stand.
func (t *targets) ownOf(form wireForm) *ownTargets {
	for i := range t.own {
		if t.own[i].form == form {
			return &t.own[i]
		}
	}
	t.own = append(t.own, ownTargets{form: form})
	return &t.own[len(t.own)-1]
}

// bytes is what t holds.
func (t *targets) bytes() int {
	const one = int(unsafe.Sizeof((*Conn)(nil)) + unsafe.Sizeof(delivery(0)))
	n := int(unsafe.Sizeof(*t)) + 4*cap(t.nodes) + int(unsafe.Sizeof(remoteGroup{}))*cap(t.remote) +
		int(unsafe.Sizeof(ownTargets{}))*cap(t.own)
	for i := range t.own {
		n += one * cap(t.own[i].conns)
	}
	for i := range t.remote {
		n += one * cap(t.remote[i].targets)
	}
	return n
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
