package backplane

import (
	"math"
	"math/bits"
	"sync"
	"time"
)

// waits are who waits until all other nodes have confirmed a version of this one's interest, in
// order: neither versions nor times decrease. Any goroutine.
type waits struct {
	// Guarded by mu.
	mu     sync.Mutex
	list   []wait
	others []confirmed // nodes that hold this one's interest, as of the last settle
	alone  bool
}

type wait struct {
	version uint64
	until   time.Duration
	then    func(unconfirmed int)
}

// confirmed is up to which version a node has confirmed.
type confirmed struct{ version uint64 }

// lacking is how many nodes have not confirmed a version. mu is held.
func (w *waits) lacking(version uint64) (count int) {
	if simfaultBuild && strikes(simHastyAnswer) {
		return 0
	}
	for _, o := range w.others {
		if o.version < version {
			count++
		}
	}
	return count
}

// Known says whether all other nodes have confirmed a version of the interest.
func (p *Plane) Known(version uint64) bool {
	p.waits.mu.Lock()
	defer p.waits.mu.Unlock()
	return p.waits.lacking(version) == 0
}

// Await has then called when all other nodes have confirmed a version, or after the time for that,
// with how many have not: at once when there is nobody to wait for, as on an island. then must not
// block.
func (p *Plane) Await(version uint64, then func(unconfirmed int)) {
	w := &p.waits
	w.mu.Lock()
	if lacking := w.lacking(version); lacking == 0 || w.alone {
		w.mu.Unlock()
		then(lacking)
		return
	}
	first := len(w.list) == 0
	if !first {
		version = max(version, w.list[len(w.list)-1].version)
	}
	w.list = append(w.list, wait{version, p.o.Now() + p.o.AckTimeout, then})
	w.mu.Unlock()
	if first {
		p.call() // it sets the timer
	}
}

// settle notes who has confirmed what, and answers those for whom that was all.
func (w *waits) settle(others []confirmed, alone bool) {
	w.mu.Lock()
	w.others, w.alone = others, alone
	least := uint64(math.MaxUint64)
	for _, o := range others {
		least = min(least, o.version)
	}
	n := 0
	for n < len(w.list) && (alone || w.list[n].version <= least) {
		n++
	}
	w.answer(n)
}

// expire answers those whose time is over.
func (w *waits) expire(now time.Duration) {
	w.mu.Lock()
	n := 0
	for n < len(w.list) && w.list[n].until <= now {
		n++
	}
	w.answer(n)
}

// answer answers the first n. It lets go of mu.
func (w *waits) answer(n int) {
	ready := w.list[:n:n]
	lacking := make([]int, n)
	for i := range ready {
		lacking[i] = w.lacking(ready[i].version)
	}
	w.list = w.list[n:]
	if len(w.list) == 0 {
		w.list = nil
	}
	w.mu.Unlock()
	for i := range ready {
		ready[i].then(lacking[i])
	}
}

// next is when the first one's time is over, if any waits.
func (w *waits) next() (at time.Duration, any bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) == 0 {
		return 0, false
	}
	return w.list[0].until, true
}

// receipts are what other nodes are to be told of their publishes. Any goroutine.
type receipts struct {
	// Guarded by mu.
	mu   sync.Mutex
	list [nodesMost][]receipt
	some uint64 // slots that have some
}

// receiptsMost is how many wait for one node: what is more is not told, and its publisher hears
// that the node has not said.
const receiptsMost = 1 << 16

// Receipt tells another node what became of a publish of its.
func (p *Plane) Receipt(slot uint32, of uint64, subscribers, dropped int) {
	if simfaultBuild && strikes(simWrongReceipt) {
		subscribers++
	}
	r := &p.receipts
	r.mu.Lock()
	first := r.some == 0
	if len(r.list[slot]) < receiptsMost {
		r.list[slot] = append(r.list[slot], receipt{of, uint64(subscribers), uint64(dropped)})
	}
	r.some |= 1 << slot
	r.mu.Unlock()
	if first {
		p.call()
	}
}

// flush sends them. The plane's mu is held.
func (r *receipts) flush(p *Plane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ; r.some != 0; r.some &= r.some - 1 {
		slot := bits.TrailingZeros64(r.some)
		list, to := r.list[slot], p.links[slot].Load()
		if to == nil || simfaultBuild && strikes(simLostReceipts) {
			r.list[slot] = nil
			continue
		}
		subject := p.from + to.name + ".ctl"
		b := beginReceipts(nil, to.inc)
		for i := range list {
			if b = list[i].append(b); len(b) > frameMost-fieldSize-32 {
				p.ctl.send(subject, b)
				b = beginReceipts(nil, to.inc)
			}
		}
		p.ctl.send(subject, b)
		if r.list[slot] = list[:0]; cap(list) > 1<<12 {
			r.list[slot] = nil
		}
	}
}
