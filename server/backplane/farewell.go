package backplane

// farewell composes the word that this node leaves: up to which numbers each other one has to get
// publishes, requests and answers, because no heartbeat says so any more, and it may come before
// them. mu is held.
func (p *Plane) farewell() []byte {
	b := begin(nil, kindLeave)
	for _, n := range p.nodes {
		about := beatNode{name: n.name, inc: n.inc, epoch: n.link.epoch}
		for _, l := range p.lanes {
			about.reached = append(about.reached, l.queue.numbered(n.link))
		}
		for _, l := range p.calls.lanes {
			about.calls = append(about.calls, l.queue.numbered(n.link))
		}
		b = appendBytes(b, tagNode, about.append(nil))
	}
	return b
}

// hearFarewell takes that of another. While answers of it are on their way it is not gone: what has
// none then fails. mu is held.
func (p *Plane) hearFarewell(n *node, fields []byte) {
	var m beat
	if err := m.parse(fields); err != nil {
		p.bad(n.name, err)
	}
	now, leaves := p.o.Now(), false
	for i := range m.nodes {
		if about := &m.nodes[i]; about.name == p.o.Node && about.inc == p.o.Incarnation {
			p.inward.last(n.nodeKey, about.epoch, about.reached, now)
			leaves = !p.calls.last(n.nodeKey, about.epoch, about.calls)
		}
	}
	switch {
	case !leaves:
		p.lose(n, hasLeft)
		return
	case n.leaving != 0:
		return // it came twice
	}
	n.leaving = max(now, 1)
	p.links[n.slot].Store(nil) // nothing is for it any more,
	for _, text := range p.arranged(n.entries.list(false)) {
		if !isService(text) { // but those have requests that are to be answered
			p.remove(n, text)
		}
	}
	n.holds = false // and nobody waits for its word
	p.settle()
}

// hasCome notes that the last has come of a node that leaves.
func (p *Plane) hasCome(k nodeKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.nodes[k]; n != nil && n.leaving != 0 {
		p.lose(n, hasLeft)
	}
}
