package backplane

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// tick sends a heartbeat, and looks who was not heard.
func (p *Plane) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	late := now-p.ticked > missed*p.o.Heartbeat // this process stood still
	p.ticked = now
	p.tellChanges(p.interest.take(false))
	p.receipts.flush(p)
	p.judge(now, late)
	if late {
		p.inward.later(now)
	}
	for _, l := range p.lanes {
		l.queue.kept.tick(now)
	}
	if b, is := p.bus.(Holder); is {
		p.brings.Store(b.Pending())
	}
	p.look(now)
	if !p.displaced {
		p.ctl.send(p.from+all+".ctl", p.beat(now).append(nil))
	}
	p.settle()
}

// judge looks whether this node is an island, and who else is gone. mu is held.
func (p *Plane) judge(now time.Duration, late bool) {
	limit := missed * p.o.Heartbeat
	island := p.displaced || p.echoed == 0 || now-p.echoed > limit
	if island && !p.alone.Load() {
		p.alone.Store(true)
		p.log.Warn(goesOnAlone)
	}
	// Where this node's own last word has not come back, it may be the bus that brings none.
	if echoes := now-p.echoed <= p.o.Heartbeat*3/2; echoes && !island && !late {
		for _, n := range p.present() {
			switch {
			case n.leaving != 0 && now-n.leaving > limit: // something of it was lost
				p.lose(n, hasLeft)
			case n.leaving == 0 && now-max(n.heard, p.back) > limit ||
				simfaultBuild && now-n.heard > limit/missed && strikes(simHastyEnd):
				p.lose(n, "silent")
			}
		}
	}
	p.count()
}

// present returns the nodes that are not gone, by their names. mu is held.
func (p *Plane) present() (all []*node) {
	for _, n := range p.nodes {
		if n.state != nodeGone {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *node) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.inc, b.inc))
	})
	return all
}

// count notes whether there are as many other nodes as there should be. mu is held.
func (p *Plane) count() {
	live := 0
	for _, n := range p.nodes {
		if n.state == nodeLive {
			live++
		}
	}
	p.lonely.Store(p.displaced || p.o.MinPeers > 0 && (p.alone.Load() || live < p.o.MinPeers))
}

// heardOwn notes that a heartbeat of this node has come back. mu is held.
func (p *Plane) heardOwn() {
	now := p.o.Now()
	p.echoed = max(now, 1)
	if p.alone.Load() && !p.displaced {
		p.back = now
		p.alone.Store(false)
		p.log.Info("the bus answers")
		p.settle()
	}
}

// settle tells who waits which nodes have confirmed what. mu is held.
func (p *Plane) settle() {
	var others []confirmed
	for _, n := range p.nodes {
		if n.state != nodeGone && n.holds {
			others = append(others, confirmed{n.confirmed})
		}
	}
	p.waits.settle(others, p.alone.Load())
}

// beat composes a heartbeat. mu is held.
func (p *Plane) beat(now time.Duration) *beat {
	m := &beat{
		formLeast: form, formMost: form, server: p.o.Server, id: p.o.ID,
		version: p.told.version, hash: p.told.hash, count: p.told.count, time: uint64(max(now, 1)),
		keeps: uint64(p.o.RepairBytes),
	}
	connections, draining := p.broker.Standing()
	m.connections, m.draining = uint64(connections), draining
	for _, n := range p.nodes {
		if n.state == nodeGone {
			continue
		}
		about := beatNode{
			name: n.name, inc: n.inc, holds: n.state == nodeLive, version: n.version,
			echo: n.theirs, held: uint64(now - n.theirsAt), epoch: n.link.epoch,
		}
		for _, l := range p.lanes {
			about.reached = append(about.reached, l.queue.reached(n.link))
		}
		for _, l := range p.calls.lanes {
			about.calls = append(about.calls, l.queue.reached(n.link))
		}
		about.missed = p.calls.missedOf(n.nodeKey)
		m.nodes = append(m.nodes, about)
	}
	return m
}

// tellChanges tells all what has changed. mu is held.
func (p *Plane) tellChanges(s state) {
	p.told = state{version: s.version, hash: s.hash, count: s.count}
	if p.displaced {
		return
	}
	first := s.version - uint64(len(s.changes)) + 1
	for len(s.changes) > 0 {
		n, size := 0, frameMost/2
		for ; n < len(s.changes) && size > 0; n++ {
			size -= fieldSize + len(s.changes[n].entry)
		}
		d := delta{first, s.changes[:n]}
		if !simfaultBuild || !strikes(simLostDelta) {
			p.ctl.send(p.from+all+".ctl", d.append(nil))
		}
		s.changes, first = s.changes[n:], first+uint64(n)
	}
}

// tellAll gives a node all of the interest. mu is held.
func (p *Plane) tellAll(n *node) {
	now := p.o.Now()
	if n.snapshotSent != 0 && now-n.snapshotSent < p.o.Heartbeat/2 {
		return
	}
	n.snapshotSent = max(now, 1)
	s := p.interest.take(true)
	p.arranged(s.entries)
	p.tellChanges(s) // all that stands in it is told before what comes after it
	part := snapshot{to: n.inc, version: s.version, hash: s.hash}
	for {
		k, size := 0, frameMost-1024
		for ; k < len(s.entries) && size > 0; k++ {
			size -= fieldSize + len(s.entries[k])
		}
		part.entries, s.entries = s.entries[:k], s.entries[k:]
		part.last = len(s.entries) == 0
		p.ctl.send(p.from+n.name+".ctl", part.append(nil))
		if part.part++; part.last {
			return
		}
	}
}

// receive takes a frame of the control lane.
func (p *Plane) receive(subject string, frame []byte) {
	name, inc, lane, ok := sender(subject, prefix(p.o.Cluster))
	k, fields, err := open(frame)
	if !ok || lane != control || err != nil {
		p.bad(name, err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.displaced {
		return
	}
	if name == p.o.Node && inc == p.o.Incarnation {
		if k == kindBeat {
			p.heardOwn()
		}
		return
	}
	if k == kindBeat {
		var m beat
		if err = m.parse(fields); err == nil {
			p.hearBeat(nodeKey{name, inc}, &m)
		}
	} else if n := p.nodes[nodeKey{name, inc}]; n != nil && n.state != nodeGone {
		n.heard = p.o.Now()
		err = p.hear(n, k, fields)
	}
	if err != nil {
		p.bad(name, err)
	}
}

// bad notes a frame that cannot be read.
func (p *Plane) bad(name string, err error) {
	p.log.Debug("a frame that cannot be read", "node", name, "error", err)
}

// scratchMost is for how many entries of a frame there is room kept.
const scratchMost = 1 << 12

// hear takes a frame of a node that is known. mu is held.
func (p *Plane) hear(n *node, k kind, fields []byte) (err error) {
	var w word
	switch k {
	case kindDelta:
		d := delta{changes: p.changes[:0]}
		if err = d.parse(fields); err == nil {
			p.applyDelta(n, &d)
		}
		if clear(d.changes); cap(d.changes) <= scratchMost {
			p.changes = d.changes
		}
	case kindSnapshot:
		s := snapshot{entries: p.texts[:0]}
		if err = s.parse(fields); err == nil && s.to == p.o.Incarnation {
			p.applySnapshot(n, &s)
		}
		if clear(s.entries); cap(s.entries) <= scratchMost {
			p.texts = s.entries
		}
	case kindAsk:
		if err = w.parse(fields); err == nil && w.to == p.o.Incarnation {
			p.tellAll(n)
		}
	case kindConfirm:
		if err = w.parse(fields); err == nil && w.to == p.o.Incarnation {
			n.holds, n.confirmed = true, w.version
			p.settle()
		}
	case kindReceipts:
		err = p.hearReceipts(n, fields)
	case kindRepair, kindGone:
		err = p.hearSpans(n, k, fields)
	case kindLeave:
		p.hearFarewell(n, fields)
	}
	return err
}

// hearReceipts takes receipts. mu is held.
func (p *Plane) hearReceipts(n *node, fields []byte) error {
	to := uint64(0)
	return each(fields, func(tag uint64, value []byte) error {
		switch tag {
		case tagTo:
			return numberInto(&to, value)
		case tagReceipt:
			var r receipt
			if err := r.parse(value); err != nil {
				return err
			}
			if to == p.o.Incarnation {
				p.broker.Receipt(r.of, n.slot, int(r.subscribers), int(r.dropped))
			}
		}
		return nil
	})
}

// hearBeat takes a heartbeat. mu is held.
func (p *Plane) hearBeat(k nodeKey, m *beat) {
	if m.formLeast > form || m.formMost < form {
		return // it will not understand us either
	}
	if k.name == p.o.Node {
		if p.hearRival(k.inc); p.displaced {
			return
		}
	}
	n := p.find(k)
	if n == nil {
		return
	}
	now := p.o.Now()
	if n.id != m.id {
		p.broker.Named(n.slot, m.id)
	}
	n.server, n.id, n.draining, n.connections = m.server, m.id, m.draining, m.connections
	n.theirs, n.theirsAt = m.time, now
	holds := false
	for i := range m.nodes {
		about := &m.nodes[i]
		if about.name != p.o.Node || about.inc != p.o.Incarnation {
			continue
		}
		if holds = about.holds; holds {
			n.confirmed = about.version
		}
		if spent := uint64(now) - about.echo - about.held; about.echo != 0 && spent < 1<<40 {
			n.roundTrip = time.Duration(spent)
		}
		p.inward.reached(k, about.epoch, about.reached, m.keeps, now)
		p.calls.reached(k, about.epoch, about.calls, now)
		if n.missed != about.missed {
			n.missed = about.missed
			p.broker.Missed(n.slot)
		}
	}
	n.holds = holds
	p.settle()
	switch {
	case n.state == nodeHeard && m.count == 0:
		p.prune(n, n.entries.list(false))
		p.held(n, m.version)
	case n.state == nodeHeard:
		p.ask(n, "it is new")
	case n.version != m.version:
		p.ask(n, "it has another version")
	case n.hash != m.hash:
		p.ask(n, "it has another hash")
	}
}

// rivalTime is how long a newer node of the same name may stand beside this one, which is taken for
// one that is being replaced, and drains.
const rivalTime = 5 * time.Second

// hearRival notes that another node has this one's name. The newer one stays. mu is held.
func (p *Plane) hearRival(inc uint64) {
	if inc < p.o.Incarnation {
		return
	}
	now := p.o.Now()
	if _, draining := p.broker.Standing(); draining {
		delete(p.rivals, inc)
		return
	}
	since, known := p.rivals[inc]
	if !known {
		if len(p.rivals) < knownMost {
			p.rivals[inc] = now
		}
		return
	}
	if now-since < rivalTime && (!simfaultBuild || !strikes(simHastyRival)) {
		return
	}
	p.displaced = true
	p.log.Error("a newer node has the name of this one, which leaves the cluster: cluster.node",
		"node", p.o.Node, "incarnation", inc)
	p.ctl.send(p.from+all+".ctl", p.farewell())
	p.alone.Store(true)
	for _, n := range p.present() {
		p.lose(n, "displaced")
	}
	p.count()
}
