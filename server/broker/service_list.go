package broker

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"mbserver/codec"
	"mbserver/server/system"
	"mbserver/topic"
)

// Services implements system.Node.
func (b *Broker) Services(now time.Time, f func(s *system.Service)) {
	all := b.registry.all()
	slices.SortFunc(all, func(a, b *service) int {
		if d := cmp.Compare(a.connectedAt, b.connectedAt); d != 0 {
			return d
		}
		return a.id.Compare(b.id)
	})
	for _, s := range all {
		shown := s.shown(now)
		f(&shown)
	}
}

// Service implements system.Node.
func (b *Broker) Service(id codec.UUID, now time.Time) (system.Service, bool) {
	s := b.registry.find(id)
	if s == nil {
		return system.Service{}, false
	}
	return s.shown(now), true
}

// shown is what may be told of a service. Any goroutine.
func (s *service) shown(now time.Time) system.Service {
	shown := system.Service{
		ID:          s.id,
		Profile:     s.profile(),
		ConnectedAt: s.connectedAt,
		LastSeen:    s.lastSeen.Load(),
		Transport:   s.transport.String(),
		Outstanding: int(s.outstanding.Load()),
		Queued:      int(s.queued.Load()),
		ErrorRate:   s.errors.Rate(now.Unix()),
		Remote:      s.peer.String(),
		Node:        s.loop.broker.nodeID(),
	}
	if p := s.particulars.Load(); p != nil {
		shown.BacklogBytes, shown.BacklogMessages = p.bytes.Load(), p.messages.Load()
		shown.Dropped = p.dropped.Load()
		if who := p.identity.Load(); who != nil {
			shown.Identity = *who
		}
	}
	return shown
}

// Walk implements system.Node.
func (b *Broker) Walk(f func(p topic.Pattern, k topic.Kind)) {
	var subs []topic.Match[*service]
	b.trie.Walk(func(p topic.Pattern, k topic.Kind) bool {
		if b.leaving.Load() > 0 {
			subs = b.trie.Subscribers(p, k, subs[:0])
			if !slices.ContainsFunc(subs, func(m topic.Match[*service]) bool {
				return !m.Sub.marked(markLeft)
			}) {
				return true
			}
		}
		f(p, k)
		return true
	})
}

// Subscribers implements system.Node.
func (b *Broker) Subscribers(
	p topic.Pattern, k topic.Kind, dst []system.Subscriber,
) []system.Subscriber {
	for _, m := range b.trie.Subscribers(p, k, nil) {
		if m.Sub.marked(markLeft) {
			continue
		}
		s := system.Subscriber{ID: m.Sub.id, Priority: m.Options.Priority}
		s.Node, s.Abroad = b.nodeOf(m.Sub)
		dst = append(dst, s)
	}
	return dst
}

// subscribed is what a service is subscribed to: subs, or of one of another node what it takes
// requests of. Any goroutine.
func (s *service) subscribed(subs []subscription) (all []system.Subscription) {
	if !s.marked(markFar) {
		for i := range subs {
			all = append(all, system.Subscription{
				Pattern: subs[i].pattern, Kind: subs[i].kind, Priority: subs[i].options.Priority,
			})
		}
		return all
	}
	o := s.loop.broker.others
	o.mu.Lock()
	defer o.mu.Unlock()
	for text, priority := range s.far().offers {
		if p, err := topic.ParsePattern(text); err == nil {
			all = append(all, system.Subscription{
				Pattern: p, Kind: topic.Request, Priority: priority,
			})
		}
	}
	return all
}

// countSubscribed is how many subscribed returns. Any goroutine.
func (s *service) countSubscribed(subs []subscription) int {
	if !s.marked(markFar) {
		return len(subs)
	}
	o := s.loop.broker.others
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(s.far().offers)
}

// unknown is the answer where a service must be connected to this node, and is not: to which one it
// is, where that is known. Any goroutine.
func (b *Broker) unknown(id codec.UUID) *system.Error {
	var node codec.UUID
	if s := b.elsewhere(id); s != nil {
		node, _ = b.nodeOf(s)
	}
	return system.UnknownService(id, node)
}

// elsewhere returns the service of another node with that ID; nil: none is known. Any goroutine.
func (b *Broker) elsewhere(id codec.UUID) *service {
	o := b.others
	if o == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, node := range o.nodes {
		if s := node.services[id]; s != nil {
			return s
		}
	}
	return nil
}

// nodeID is the ID by which clients know this node; zero when there is no other.
func (b *Broker) nodeID() codec.UUID {
	if b.cluster == nil {
		return codec.UUID{}
	}
	return b.id
}

// nodeOf says which node a service is connected to, or is, and whether that is another one.
func (b *Broker) nodeOf(s *service) (id codec.UUID, abroad bool) {
	if s.loop != nil && !s.marked(markFar) {
		return b.nodeID(), false
	}
	if known := s.far().node.named.Load(); known != nil {
		id = *known
	}
	return id, true
}

// ServicesAbroad implements system.Node.
func (b *Broker) ServicesAbroad(f func(s *system.Service)) {
	o := b.others
	if o == nil {
		return
	}
	var all []*service
	o.mu.Lock()
	for _, node := range o.nodes {
		all = slices.AppendSeq(all, maps.Values(node.services))
	}
	o.mu.Unlock()
	shown := make([]system.Service, len(all))
	for i, s := range all {
		about := s.far().about.Load()
		shown[i] = system.Service{
			ID: s.id, Profile: s.profile(), ConnectedAt: about.ConnectedAt, Abroad: true,
			Transport: about.Transport, Outstanding: int(s.outstanding.Load()),
			Identity: about.Identity,
		}
		shown[i].Node, _ = b.nodeOf(s)
	}
	slices.SortFunc(shown, func(a, b system.Service) int {
		return cmp.Or(a.Node.Compare(b.Node), cmp.Compare(a.ConnectedAt, b.ConnectedAt),
			a.ID.Compare(b.ID))
	})
	for i := range shown {
		f(&shown[i])
	}
}

// countAbroad is how many services ServicesAbroad shows.
func (b *Broker) countAbroad() (n int) {
	o := b.others
	if o == nil {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, node := range o.nodes {
		n += len(node.services)
	}
	return n
}
