package broker

import (
	"encoding/binary"
	"math/bits"

	"mbserver/server/wheel"
)

// Publishes that go to other nodes (protocol §12).
//
// Purpose. A publish reaches the subscribers of all nodes, and an acknowledged one counts them.
//
// Outline. A route names the nodes on which somebody is subscribed. The loop hands the message to
// the cluster, once for all of them (publishAcross), and delivers to its own node's subscribers as
// ever. Where the publisher waits for word, a node that has delivered says to how many
// (takeReceipt); who does not in time is counted as unconfirmed (Expire).
//
// Invariants. Each node that a publish awaits settles its acknowledgement once: by its receipt, by
// the time, or because it was not sent to.
//
// Cost. For a route without other nodes: a nil check.

// across are the acknowledged publishes of this loop of which other nodes are to give word. Loop
// only.
type across struct {
	slots []*awaitedReceipts
	free  []uint32
}

// abroad is one of them.
type awaitedReceipts struct {
	timer wheel.Timer
	loop  *Loop
	ref   ackRef
	slot  uint32
	gen   uint32 // never 0
	left  uint64 // nodes that have given no word, a bit for each
}

// A receipt's number says whose it is: loop, slot and generation.
const (
	receiptLoopAt  = 54
	receiptSlotAt  = 32
	receiptSlotMax = 1<<(receiptLoopAt-receiptSlotAt) - 1
)

func (w *awaitedReceipts) number() uint64 {
	return uint64(w.loop.index)<<receiptLoopAt | uint64(w.slot)<<receiptSlotAt | uint64(w.gen)
}

// open begins to wait for nodes.
func (a *across) open(l *Loop, ref ackRef, nodes []uint32) *awaitedReceipts {
	var w *awaitedReceipts
	if n := len(a.free); n > 0 {
		w = a.slots[a.free[n-1]]
		a.free = a.free[:n-1]
	} else {
		w = &awaitedReceipts{loop: l, slot: uint32(len(a.slots)), gen: 1}
		w.timer.Owner = w
		a.slots = append(a.slots, w)
	}
	w.ref = ref
	for _, slot := range nodes {
		w.left |= 1 << slot
	}
	l.wheel.Add(&w.timer, l.time.Ms+l.broker.others.ackTimeout)
	return w
}

// close ends it: all have given word, or none is waited for any more.
func (w *awaitedReceipts) close() {
	a := &w.loop.across
	w.loop.wheel.Cancel(&w.timer)
	w.ref = ackRef{}
	if w.gen++; w.gen == 0 {
		w.gen = 1
	}
	a.free = append(a.free, w.slot)
}

// publishAcross hands a publish to the cluster. With ref its publisher waits for the nodes.
func (l *Loop) publishAcross(nodes []uint32, header, payload []byte, ref ackRef) {
	c := l.broker.cluster
	l.crossing.some = true
	if ref.from == nil {
		c.Publish(l.index, nodes, header, payload, 0)
		return
	}
	if len(l.across.slots) > receiptSlotMax && len(l.across.free) == 0 {
		c.Publish(l.index, nodes, header, payload, 0)
		for range nodes {
			l.unconfirmed(ref)
		}
		return
	}
	w := l.across.open(l, ref, nodes)
	w.giveUp(c.Publish(l.index, nodes, header, payload, w.number()))
}

// giveUp ends the wait for some nodes.
func (w *awaitedReceipts) giveUp(nodes uint64) {
	nodes &= w.left
	w.left &^= nodes
	ref := w.ref
	if nodes != 0 && w.left == 0 {
		w.close()
	}
	for ; nodes != 0; nodes &= nodes - 1 {
		w.loop.unconfirmed(ref)
	}
}

// unconfirmed settles one node's part of an acknowledgement: it has given no word.
func (l *Loop) unconfirmed(ref ackRef) {
	l.acks.slots[ref.slot].unconfirmed++
	l.acks.settle(l, ref, 0)
}

// Expire implements wheel.Expirer: who has given no word is not waited for any more.
func (w *awaitedReceipts) Expire(*wheel.Timer, int64) {
	w.loop.guard(nil, func() { w.giveUp(w.left) })
}

// Receipt says what became of a publish on another node. Any goroutine.
func (n *ClusterNode) Receipt(of uint64, slot uint32, subscribers, dropped int) {
	loop := of >> receiptLoopAt
	if loop >= uint64(len(n.loops)) || slot >= bits.UintSize {
		return // it is not ours
	}
	n.loops[loop].post(itemReceipt, func(p *parcel, it *item) {
		it.number, it.slot = of, slot
		var counts [8]byte
		binary.LittleEndian.PutUint32(counts[:], uint32(subscribers))
		binary.LittleEndian.PutUint32(counts[4:], uint32(dropped))
		p.copy(it, counts[:], nil)
	})
}

// takeReceipt takes a node's word.
func (l *Loop) takeReceipt(p *parcel, it *item) {
	slot := it.number >> receiptSlotAt & receiptSlotMax
	if slot >= uint64(len(l.across.slots)) {
		return
	}
	w, node := l.across.slots[slot], uint64(1)<<it.slot
	if w.gen != uint32(it.number) || w.left&node == 0 {
		return // too late, or said before
	}
	ref := w.ref
	if w.left &^= node; w.left == 0 {
		w.close()
	}
	counts := p.message(it)
	l.acks.slots[ref.slot].subscribers += int(binary.LittleEndian.Uint32(counts))
	l.acks.settle(l, ref, int(binary.LittleEndian.Uint32(counts[4:])))
}
