package broker

import (
	"sync"
	"sync/atomic"
)

// inbox is what other loops and other goroutines have sent a loop: parcels in the order in which
// they were handed over, and what was refused behind them; and, in no order with these, which
// sockets take bytes again: what waits for them must not wait behind what fills the inbox.
//
// Whoever finds parcels or room empty has the loop called. So in each turn the loop takes over
// either, or has itself called because it has not received all that it took before.
type inbox struct {
	// Atomic.
	waiting atomic.Int64 // bytes that wait, of the parcels that were taken and not received too
	held    atomic.Int64 // bytes that those parcels hold
	// full: something was refused that has not been told. All that may be refused is meanwhile,
	// even if it would fit: a subscriber must not receive messages from inside the gap that it is
	// about to be told of.
	full   atomic.Bool
	wanted atomic.Bool // some loop is in wants

	// Guarded by mu, which is held for some microseconds at most and never across a system call.
	mu      sync.Mutex
	parcels []*parcel
	lost    *losses  // what was refused; bounded by the loop's connections; nil: nothing
	wants   []*Loop  // those that hold connections back until there is room; each once
	room    []handle // of connections whose sockets take bytes again; each once

	// Owned by the loop.
	taken     []*parcel // being received, from next on
	next      int
	item      int      // of that parcel, the next to be received
	takenLost *losses  // told when all of taken is received, from nextLost on; nil: nothing
	nextLost  int      // of its list
	takenRoom []handle // from nextRoom on
	nextRoom  int
}

// handle names a connection of a loop.
type handle struct{ slot, gen uint32 }

// empty says that nothing waits. Loop only.
func (in *inbox) empty() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.parcels) == 0 && len(in.room) == 0 && !in.leavesOver()
}

// leavesOver says that something was taken and not received yet. Loop only.
func (in *inbox) leavesOver() bool {
	return in.next < len(in.taken) || in.nextRoom < len(in.takenRoom) || in.takenLost != nil
}

// filled is how much of an inbox's bound is used, in bytes: by what waits in it, or by what that
// holds, where it is much more. Any goroutine.
func (b *Broker) filled(in *inbox) int64 {
	return max(in.waiting.Load(), in.held.Load()-roomySpares*int64(b.spares.room()))
}

// accept takes a parcel, and the losses that come behind it. from is the loop that sends it, nil
// for other goroutines; held says that it wants word of room. Any goroutine.
func (l *Loop) accept(p *parcel, lost *losses, from *Loop, held bool) {
	in := &l.inbox
	in.mu.Lock()
	sleeps := len(in.parcels) == 0
	joined := in.join(p, l.broker.parcelBytes)
	if !joined {
		in.parcels = append(in.parcels, p)
		in.held.Add(int64(p.held()))
	}
	in.waiting.Add(int64(p.size))
	in.addLost(lost)
	if held {
		in.addWant(from)
	}
	in.mu.Unlock()
	if joined {
		l.broker.spares.give(p)
	}
	if sleeps {
		l.driver.Schedule()
	}
}

// join moves the items of a small parcel to the last one that waits, if that has room for them. A
// parcel has room for much, so a loop that gets less done than others send would else hold many
// times what it is charged. most is what a parcel may hold, in bytes. mu is held.
func (in *inbox) join(p *parcel, most int) bool {
	if len(in.parcels) == 0 || 4*p.size > most {
		return false
	}
	to := in.parcels[len(in.parcels)-1]
	if to.size+p.size > most || len(to.bytes)+len(p.bytes) > cap(to.bytes) ||
		len(to.items)+len(p.items) > cap(to.items) {
		return false
	}
	base, held := uint32(len(to.bytes)), to.held()
	to.bytes, to.size = append(to.bytes, p.bytes...), to.size+p.size
	for i := range p.items {
		to.items = append(to.items, p.items[i])
		it := &to.items[len(to.items)-1]
		it.start, it.end = it.start+base, it.end+base
	}
	in.held.Add(int64(to.held() - held)) // of bodies: the room was charged before
	return true
}

// addLost notes what was refused. The shorter of two lists is added to the longer one, which costs
// some 50 ns for each subscriber in it: at most what its sender did for them in one turn (lose),
// which is counted as its work. mu is held.
func (in *inbox) addLost(lost *losses) {
	if lost == nil {
		return
	}
	in.full.Store(true)
	if in.lost == nil {
		in.lost = lost
		return
	}
	if len(lost.list) > len(in.lost.list) {
		in.lost, lost = lost, in.lost
	}
	for _, one := range lost.list {
		in.lost.add(one.of, one.count)
	}
}

// addWant notes that a loop wants word of room. mu is held.
func (in *inbox) addWant(from *Loop) {
	for _, l := range in.wants {
		if l == from {
			return
		}
	}
	in.wants = append(in.wants, from)
	in.wanted.Store(true)
}

// post hands over one item of a goroutine that is no loop, or of a loop for which it is rare and
// stands in no order with others: fill makes it. Any goroutine.
func (l *Loop) post(kind itemKind, fill func(p *parcel, it *item)) {
	p := l.broker.spares.take()
	fill(p, p.add(kind))
	l.accept(p, nil, nil, false)
}

// call has f run on the loop. Any goroutine.
func (l *Loop) call(f func(*Loop)) {
	l.post(itemCall, func(_ *parcel, it *item) { it.rare = &rare{call: f} })
}

// Writable says that the socket of the connection with that handle takes bytes again. Any
// goroutine.
func (l *Loop) Writable(slot, gen uint32) {
	in := &l.inbox
	in.mu.Lock()
	sleeps := len(in.room) == 0
	in.room = append(in.room, handle{slot, gen})
	in.mu.Unlock()
	if sleeps {
		l.driver.Schedule()
	}
}

// resumeWritable writes on to connections whose sockets take bytes again, as many as half a quantum
// is enough for: those that were left over, then those of whom word has come since.
func (l *Loop) resumeWritable() {
	in := &l.inbox
	old := in.nextRoom < len(in.takenRoom)
	if !old && !in.takeRoom() {
		return
	}
	l.measure(l.driver.Now().Ns, quantum/2)
	if l.resumeTaken() && old && in.takeRoom() {
		l.resumeTaken()
	}
}

// takeRoom takes over of which connections word has come, if of any.
func (in *inbox) takeRoom() bool {
	spare := in.takenRoom[:0]
	in.mu.Lock()
	in.takenRoom, in.room = in.room, spare
	in.mu.Unlock()
	in.nextRoom = 0
	return len(in.takenRoom) > 0
}

// resumeTaken says whether all that were taken are written to.
func (l *Loop) resumeTaken() bool {
	in := &l.inbox
	for in.nextRoom < len(in.takenRoom) && !l.spent {
		h := in.takenRoom[in.nextRoom]
		in.nextRoom++
		if c := l.conns[h.slot]; c != nil && c.gen == h.gen {
			l.guard(nil, c.resume)
		}
		l.checkClock()
	}
	return in.nextRoom == len(in.takenRoom)
}

// postFailure sends an error that is owed, header line and payload, to one service. Any goroutine.
func (s *service) postFailure(header, payload []byte) {
	s.loop.post(itemDirect, func(p *parcel, it *item) {
		it.to, it.text, it.answer = s, true, answerFailure|answerOwed
		p.copy(it, header, payload)
	})
}

// drainInbox receives a bounded part of what was sent: the loop looks at its sockets in between.
func (l *Loop) drainInbox() {
	l.resumeWritable()
	in := &l.inbox
	measured := in.leavesOver()
	if measured {
		l.measure(l.driver.Now().Ns, quantum/2)
	}
	for bytes, took := 0, false; ; {
		if in.next == len(in.taken) {
			if !l.tellLost() || took {
				break // what came since has woken the loop again
			}
			l.takeInbox()
			if took = true; len(in.taken) == 0 {
				break
			}
		}
		if !measured {
			measured = true
			l.measure(l.driver.Now().Ns, quantum/2)
		}
		if bytes >= l.broker.inboxTurn || l.spent {
			break // the rest in the next turn
		}
		p := in.taken[in.next]
		size, held := p.size, p.held()
		if !l.receiveParcel(p) {
			continue
		}
		in.taken[in.next] = nil
		in.next++
		in.waiting.Add(-int64(size))
		in.held.Add(-int64(held))
		bytes += size
	}
	if in.wanted.Load() && 4*l.broker.filled(in) <= int64(l.broker.inboxBytes) {
		l.sendWord()
	}
}

// takeInbox takes over what was handed over until now.
func (l *Loop) takeInbox() {
	in := &l.inbox
	spare := in.taken[:0]
	if cap(spare) > inboxKeep {
		spare = nil
	}
	in.mu.Lock()
	in.taken, in.parcels = in.parcels, spare
	in.takenLost, in.lost = in.lost, nil
	in.full.Store(false) // what is accepted from here on is received behind those losses
	in.mu.Unlock()
	in.next = 0
}

// receiveParcel acts on each item for as long as the quantum lasts, and frees the parcel when all
// are received. A fault of ours costs one item.
func (l *Loop) receiveParcel(p *parcel) (all bool) {
	in := &l.inbox
	for done := false; !done && in.item < len(p.items); {
		l.guard(nil, func() {
			for !done && in.item < len(p.items) {
				it := &p.items[in.item]
				in.item++
				l.receive(p, it)
				l.spend(messageWork)
				if l.framesFull() {
					l.fill()
				}
				done = l.spent
			}
		})
	}
	if in.item < len(p.items) {
		return false
	}
	in.item = 0
	l.broker.spares.give(p)
	return true
}

// tellLost notes what was refused behind the parcels that have been received, for each subscriber
// to be told, for as long as the quantum lasts.
func (l *Loop) tellLost() (all bool) {
	in := &l.inbox
	if in.takenLost == nil {
		return true
	}
	for list := in.takenLost.list; in.nextLost < len(list); in.nextLost++ {
		if l.spent {
			return false
		}
		one := &list[in.nextLost]
		if c := l.connOf(one.of); c != nil {
			c.noteLoss(one.count)
		}
		l.spend(messageWork)
	}
	in.takenLost, in.nextLost = nil, 0
	return true
}

// sendWord tells the loops that hold connections back that there is room.
func (l *Loop) sendWord() {
	in := &l.inbox
	in.mu.Lock()
	wants := in.wants
	in.wants = nil
	in.wanted.Store(false)
	in.mu.Unlock()
	for _, from := range wants {
		from.call(func(from *Loop) { from.readOn(l.index) })
	}
}

// receive acts on one item.
func (l *Loop) receive(p *parcel, it *item) {
	switch it.kind {
	case itemPublish:
		l.receivePublish(p, it)
	case itemLog:
		l.receiveLog(p, it)
	case itemTaken:
		l.acks.taken(l, it)
	case itemRequest, itemQueue:
		l.receiveRequest(p, it)
	case itemWaits, itemGrant, itemRoom, itemReturn:
		l.receiveRoom(it)
	case itemDirect:
		if c := l.askerOf(it.to); c != nil {
			l.giveAnswer(c, p.message(it), nil, it.text, it.answer)
		}
	case itemAnswer:
		if c := l.askerOf(it.to); c != nil {
			l.sendAnswer(c, p.bytes[it.start:it.end], it.body)
		}
		it.body.Release()
	case itemAsked:
		l.receiveAsked(p, it)
	case itemCancel:
		l.receiveCancel(p, it)
	case itemWord:
		l.receiveWord(p, it)
	case itemWait:
		l.receiveWait(it)
	case itemReceipt:
		l.takeReceipt(p, it)
	case itemCall:
		it.rare.call(l)
	}
}
