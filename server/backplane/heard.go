package backplane

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// heard is what this node keeps of what others tell of themselves: their entries. Who may speak as
// a node may tell of anything, so that it is bounded here, whatever that node's own bound is: it is
// charged to the memory of this one, has a part of it, and no node has the parts of others.
// Guarded by the plane's mu, but for bytes.
type heard struct {
	most   int64 // bytes; 0: any. Immutable
	bytes  atomic.Int64
	passed map[string]*passedOver // by name
}

// passedOver is a node that told more than is kept of it, which is not listened to for a while.
type passedOver struct{ pause, until time.Duration }

// What an entry costs beside its text, which is there more than once, in bytes: measured, in the
// plane and in the broker.
const (
	entryCharge   = 384
	serviceCharge = 1 << 10
)

// The least and greatest time for which a node is passed over: it doubles each time.
const (
	passLeast = 10 * time.Second
	passMost  = time.Minute
)

func chargeOf(text string) int64 {
	n := len(text)
	if isService(text) { // it is there three times, and the allocator rounds up
		return int64(3*n + n/2 + serviceCharge)
	}
	return int64(2*n + n/4 + entryCharge)
}

// mayKeep says whether one more entry of a node may be kept: of half of all whatever comes first,
// beyond that no node has more than its part of that half. mu is held.
func (p *Plane) mayKeep(n *node, text string) bool {
	more := chargeOf(text)
	all, half := p.heard.bytes.Load()+more, p.heard.most/2
	if p.heard.most == 0 || all <= half {
		return true
	}
	return all <= p.heard.most && (n.bytes+more)*int64(bits.OnesCount64(p.slots)) <= half
}

// keep charges an entry of a node's, or, by a negative number, does so no more. mu is held.
func (p *Plane) keep(n *node, bytes int64) {
	n.bytes += bytes
	p.heard.bytes.Add(bytes)
}

// passOver ends what a node is here that tells more than is kept of it, for a while. mu is held.
func (p *Plane) passOver(n *node) {
	h, now := &p.heard, p.o.Now()
	w := h.passed[n.name]
	if w == nil {
		if len(h.passed) >= knownMost {
			clear(h.passed)
		}
		w = &passedOver{pause: passLeast / 2}
		h.passed[n.name] = w
	}
	w.pause = min(2*w.pause, passMost)
	w.until = now + w.pause
	p.log.Error("a node tells more of itself than is kept of one here, and is passed over for a "+
		"while: memory.limit", "node", n.name, "incarnation", n.inc, "patterns", n.entries.count,
		"bytes", n.bytes, "seconds", w.pause.Seconds())
	p.lose(n, tellsTooMuch)
}

// tellsTooMuch is why a node is gone that was passed over.
const tellsTooMuch = "tells too much"

// passes says whether a node is passed over. mu is held.
func (h *heard) passes(name string, now time.Duration) bool {
	w := h.passed[name]
	if w == nil {
		return false
	}
	if now >= w.until+passMost {
		delete(h.passed, name)
	}
	return now < w.until
}
