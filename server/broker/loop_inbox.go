package broker

import (
	"sync"
	"sync/atomic"
)

// inbox is what other loops and other goroutines have sent a loop: parcels in the order in which
// they were handed over, and what was refused behind them.
type inbox struct {
	// Atomic.
	waiting atomic.Int64 // bytes that wait, of the parcels that were taken and not received too
	// full: something was refused that has not been told. All that may be refused is meanwhile,
	// even if it would fit: a subscriber must not receive messages from inside the gap that it is
	// about to be told of.
	full   atomic.Bool
	wanted atomic.Bool // some loop is in wants

	// Guarded by mu, which is held for a few instructions and never across a system call.
	mu      sync.Mutex
	parcels []*parcel
	lost    map[*service]int // deliveries that were refused; bounded by the loop's connections
	wants   []*Loop          // those that hold connections back until there is room; each once

	// Owned by the loop.
	taken     []*parcel // being received, from next on
	next      int
	item      int              // of that parcel, the next to be received
	takenLost map[*service]int // told when all of taken is received
}

// empty says that nothing waits. Loop only.
func (in *inbox) empty() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.parcels) == 0 && in.next == len(in.taken)
}

// accept takes a parcel, and the losses that come behind it. from is the loop that sends it, nil
// for other goroutines; held says that it wants word of room. Any goroutine.
func (l *Loop) accept(p *parcel, lost map[*service]int, from *Loop, held bool) {
	in := &l.inbox
	in.mu.Lock()
	sleeps := len(in.parcels) == 0
	in.parcels = append(in.parcels, p)
	in.waiting.Add(int64(p.size))
	in.addLost(lost)
	if held {
		in.addWant(from)
	}
	in.mu.Unlock()
	if sleeps {
		l.driver.Schedule()
	}
}

// addLost notes what was refused. mu is held.
func (in *inbox) addLost(lost map[*service]int) {
	if len(lost) == 0 {
		return
	}
	in.full.Store(true)
	if in.lost == nil {
		in.lost = lost
		return
	}
	for s, n := range lost {
		in.lost[s] += n
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
	l.post(itemWritable, func(_ *parcel, it *item) { it.slot, it.gen = slot, gen })
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
	in := &l.inbox
	measured := false
	for bytes, took := 0, false; ; {
		if in.next == len(in.taken) {
			l.tellLost()
			if took {
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
		size := p.size
		if !l.receiveParcel(p) {
			continue
		}
		in.taken[in.next] = nil
		in.next++
		in.waiting.Add(-int64(size))
		bytes += size
	}
	if in.wanted.Load() && 4*in.waiting.Load() <= int64(l.broker.inboxBytes) {
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
// to be told.
func (l *Loop) tellLost() {
	in := &l.inbox
	for s, n := range in.takenLost {
		if c := l.connOf(s); c != nil {
			c.noteLoss(n)
		}
	}
	in.takenLost = nil
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
	case itemWaits, itemGrant, itemReturn:
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
	case itemWritable:
		if int(it.slot) < len(l.conns) {
			if c := l.conns[it.slot]; c != nil && c.gen == it.gen {
				c.resume()
			}
		}
	case itemCall:
		it.rare.call(l)
	}
}
