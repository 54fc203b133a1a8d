package broker

import (
	"net/netip"
	"runtime"
	"sync"
	"time"

	"mbserver/server/census"
)

// Census: what there is to see of connections, beside the loops.
//
// Purpose. A console looks at who drops the most of eighteen thousand connections each second, and
// nobody feels it.
//
// Outline. What a loop tells of its connections are atomics beside their IDs (service). A census
// walks the registry, a part of it at a time, on the goroutine of who asks, and gives way to others
// all the while (censusLook). Rates are what was counted since an earlier census: while somebody
// asks, the counts of two are kept (takings), by loop and slot.
//
// Cost. Nothing while nobody asks. A connection takes some 100 ns, and 80 bytes until nobody has
// asked for censusKept; one census is taken at a time.
const (
	censusLook = 128             // connections between two looks whether a loop wants to work
	censusRest = time.Second     // between two of which the counts are kept
	censusKept = 2 * time.Minute // that they are kept when nobody asks
)

// takings are the counts that rates are taken from. Any goroutine.
type takings struct {
	mu sync.Mutex
	// Guarded by mu, which is held while a census is taken.
	older, newer tally
	forget       *time.Timer // nil: nothing is kept
}

// tally is the counts of one census, by loop and slot.
type tally struct {
	at time.Time // zero: there is none
	of [][]counted
}

// counted is the counts of one connection.
type counted struct {
	gen                     uint32
	received, receivedBytes uint64
	sent, sentBytes         uint64
}

// Connections shows f every connection that is listed (system.service.list), in no order. What f is
// given is valid until it returns. It takes a while, and one call waits for the other. Any
// goroutine but a loop's.
func (b *Broker) Connections(now time.Time, f func(*census.Connection)) {
	t := &b.census
	t.mu.Lock()
	defer t.mu.Unlock()
	keep := t.begin(now, len(b.loops))
	var shown census.Connection
	var some []*service
	seen := 0
	for i := range b.registry.parts {
		some = b.registry.parts[i].appendTo(some[:0])
		for _, s := range some {
			if seen++; seen%censusLook == 0 {
				runtime.Gosched()
			}
			t.show(s, &shown, now, keep)
			f(&shown)
		}
	}
}

// begin makes t ready for a census, and says whether its counts are to be kept. mu is held.
func (t *takings) begin(now time.Time, loops int) (keep bool) {
	if t.forget == nil {
		t.forget = time.AfterFunc(censusKept, t.drop)
	} else {
		t.forget.Reset(censusKept)
	}
	if now.Sub(t.newer.at) < censusRest {
		return false
	}
	t.older, t.newer = t.newer, t.older
	t.newer.at = now
	if t.newer.of == nil {
		t.newer.of = make([][]counted, loops)
	}
	return true
}

// stop ends the wait for nobody to ask.
func (t *takings) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forget != nil {
		t.forget.Stop()
	}
}

// drop forgets the counts: nobody has asked for long.
func (t *takings) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.older, t.newer = tally{}, tally{}
}

// show writes what s is to c. mu is held.
func (t *takings) show(s *service, c *census.Connection, now time.Time, keep bool) {
	is := counted{
		gen: s.gen + 1, received: s.received.Load(), receivedBytes: s.receivedBytes.Load(),
		sent: shownCount(&s.sent), sentBytes: shownCount(&s.sentBytes),
	}
	s.describeTo(c, now)
	c.Received, c.ReceivedBytes = is.received, is.receivedBytes
	c.Sent, c.SentBytes = is.sent, is.sentBytes
	var was counted
	since := time.UnixMilli(s.connectedAt)
	if k := t.older.place(s, false); k != nil && k.gen == is.gen {
		was, since = *k, t.older.at
	}
	c.ReceivedRate, c.ReceivedBytesRate, c.SentRate, c.SentBytesRate = 0, 0, 0, 0
	if passed := now.Sub(since).Seconds(); passed > 0 {
		c.ReceivedRate = float64(is.received-was.received) / passed
		c.ReceivedBytesRate = float64(is.receivedBytes-was.receivedBytes) / passed
		c.SentRate = max(float64(int64(is.sent-was.sent))/passed, 0)
		c.SentBytesRate = max(float64(int64(is.sentBytes-was.sentBytes))/passed, 0)
	}
	if keep {
		*t.newer.place(s, true) = is
	}
}

// place is where the counts of s are; nil when there are none and none are to be made.
func (t *tally) place(s *service, grow bool) *counted {
	if t.of == nil {
		return nil
	}
	of := t.of[s.loop.index]
	if int(s.slot) >= len(of) {
		if !grow {
			return nil
		}
		of = append(of, make([]counted, int(s.slot)+1-len(of))...)
		t.of[s.loop.index] = of[:cap(of)]
		of = t.of[s.loop.index]
	}
	return &of[s.slot]
}

// describeTo writes what is known of s, but for its counts, to c. Any goroutine.
func (s *service) describeTo(c *census.Connection, now time.Time) {
	*c = census.Connection{
		ID: s.id, Transport: s.transport.String(), Loop: s.loop.index,
		Remote:      netip.AddrPortFrom(s.peer.addr(), s.peer.port),
		ConnectedAt: s.connectedAt, LastSeen: s.lastSeen.Load(),
		Outstanding:   int(s.outstanding.Load()),
		MaxConcurrent: int(s.capacity.Load()),
		Queued:        int(s.queued.Load()),
		ErrorRate:     s.errors.Rate(now.Unix()),
	}
	marks := s.marks.Load()
	c.Serves, c.Unread = marks&markServes != 0, marks&markUnread != 0
	c.Slow, c.Draining = marks&markStalled != 0, marks&markTold != 0
	p := s.particulars.Load()
	if p == nil {
		return
	}
	c.BacklogBytes, c.BacklogMessages = p.bytes.Load(), p.messages.Load()
	c.Dropped = uint64(p.dropped.Load())
	if who := p.identity.Load(); who != nil {
		c.Identity = *who
	}
	if of := p.answers.Load(); of != nil {
		c.Answers, c.AnswerP50, c.AnswerP99 = of.Read(now.Unix())
	}
	if known := p.profile.Load(); known != nil {
		c.Registered, c.Name, c.Description = true, known.Name, known.Description
		c.Metadata = known.Metadata
	}
}

// appendTo appends the services of this moment.
func (p *registryPart) appendTo(dst []*service) []*service {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, s := range p.slots {
		if s != nil {
			dst = append(dst, s)
		}
	}
	return dst
}
