package broker

import (
	"encoding/binary"
	"sync"

	"mbserver/ringbuf"
	"mbserver/server/trace"
)

// Parcels: what a turn of one loop has for another.
//
// Purpose. A message that crosses loops costs an append. During a turn a loop gathers what it has
// for each other loop in one parcel, in order, and hands it over once, at the turn's end before its
// own flush, or early when there is much, so that the other loop works meanwhile: one lock and at
// most one wake for a parcel, however many messages are in it.
//
// Outline.
//
//	parcelFor, add  an item is appended to the parcel for a loop: its bytes are copied in, a
//	                large body is referred to
//	handOver        the parcel goes to the loop's inbox (loop_inbox.go), which wakes if it sleeps
//	drainInbox      a loop takes a bounded part of its inbox each turn; receive acts on an item
//
// Invariants. What one loop sends another arrives in the order in which it was put. Answers,
// acknowledgements and calls are always taken: that there is exactly one answer forbids dropping
// them, and what caused them is bounded. When the inbox is full (mayFill) publishes are dropped,
// counted and told to each subscriber, and a request waits with its requester (request.go,
// mayCross). Before that, above half of the bound, the connections that fill it are not read
// (hold), and below a quarter they are again.
//
// Cost. Two copies of a small message: into the parcel, and out of it into the frames of the loop
// that writes it. All that waits in an inbox is charged to the memory budget.
type parcel struct {
	bytes []byte // of the items that do not refer to a body
	items []item
	size  int   // bytes of all that is in it: bytes, bodies and items
	since int64 // ns of the clock: when the turn began that fills it; of other goroutines: 0
}

// itemKind says what the receiving loop does.
type itemKind uint8

const (
	itemPublish itemKind = iota // deliver to group; with from: answer itemTaken
	itemLog                     // a publish that is a line of the log
	itemTaken                   // a publish is delivered: the acknowledgement in slot hears
	itemRequest                 // deliver a request to service `to`, which is reserved for it
	itemQueue                   // let a request wait on this loop for a service with room
	itemWaits                   // requests wait on loop slot for service `to`
	itemGrant                   // number requests that wait for service `to` may go there
	itemRoom                    // there may be room at service `to`
	itemReturn                  // number of them did not; failure: nothing waits on loop slot
	itemDirect                  // deliver a message to service `to`
	itemAnswer                  // the same; the message ends with body, which is a snapshot
	itemReceipt                 // what became of a publish on another node (publish_across.go)
	itemAsked                   // a request of another node, for service `to` (request_foreign.go)
	itemCancel                  // it is not to be answered any more
	itemWord                    // another node's word of a request (request_abroad.go)
	itemWait                    // requests wait at another node for service `to`
	itemCall                    // run call on the loop: rare operations only
)

// item is one thing that crosses. Which fields count depends on its kind.
type item struct {
	kind      itemKind
	text      bool // the message came as, or is, UTF-8 text
	unaudited bool
	answer    answerKind // direct
	hops      uint8      // request: trip.hops; return: 1 when nothing waits there any more;
	//                        asked: 1 when somebody waits; word: what it is; wait: 1 when they do
	idLen    uint8  // request: bytes of its ID; asked: of its version; word: of its code
	topicLen uint16 // request: bytes of its topic

	start, end uint32 // the message's place in the parcel's bytes, unless body has it

	// ackRef: of a publish, who waits for the acknowledgement, if anybody; taken: whose it is;
	// request: from is the requester; of what another node has sent: from is that node.
	ackRef

	to    *service        // request: the chosen service; direct: the receiver
	group *remoteGroup    // publish: its targets; immutable, shared with the sender's routes
	body  *ringbuf.Shared // the message when it is large; nil: it is in the parcel's bytes

	// publish: the route's key; taken: deliveries that were dropped; word: loads that came before
	number uint64
	rare   *rare // nil for most
}

// rare is what few items have.
type rare struct {
	original string      // publish: the request ID that a masked one replaced; only for the audit
	about    string      // publish: what an audit message is about, see outgoing
	mark     trace.Mark  // publish, request: it is looked at
	call     func(*Loop) // call
	receipt  *receipt    // publish of another node that waits for word: its (publish_inward.go)
}

// original is a publish's request ID that a masked one replaced, "" when nobody audits.
func (it *item) original() string {
	if it.rare == nil {
		return ""
	}
	return it.rare.original
}

// about is what an audit message is about that not everybody may see, "" for all else.
func (it *item) about() string {
	if it.rare == nil {
		return ""
	}
	return it.rare.about
}

// mark is that of a message that is looked at, 0 for all else.
func (it *item) mark() trace.Mark {
	if it.rare == nil {
		return 0
	}
	return it.rare.mark
}

// itemCharge is what an item costs beside its bytes.
const itemCharge = 72

// spares are a node's parcels that can be filled again: some in a list, what a flood needs beyond
// them in a pool that the garbage collector empties. The pool alone does not do: it keeps the last
// one where it was freed, and who frees a parcel is another loop than the one that fills the next.
type spares struct {
	// Immutable.
	most  int // bytes of those in the list
	bytes int // room that one keeps
	items int

	flood sync.Pool

	// Guarded by mu.
	mu   sync.Mutex
	list []*parcel
	held int // bytes of them
}

// room is, in bytes, what one of them can be filled with at most.
func (s *spares) room() int { return s.bytes + s.items*itemCharge }

// room is, in bytes, what p can be filled with.
func (p *parcel) room() int { return cap(p.bytes) + cap(p.items)*itemCharge }

// held is, in bytes, what p holds while it waits: its room, and the bodies that it refers to.
func (p *parcel) held() int {
	return p.size + p.room() - len(p.bytes) - len(p.items)*itemCharge
}

// take returns an empty parcel. Any goroutine.
func (s *spares) take() *parcel {
	s.mu.Lock()
	if last := len(s.list) - 1; last >= 0 {
		p := s.list[last]
		s.list[last] = nil // it may never come back
		s.list = s.list[:last]
		s.held -= p.room()
		s.mu.Unlock()
		return p
	}
	s.mu.Unlock()
	if p, ok := s.flood.Get().(*parcel); ok {
		return p
	}
	return new(parcel)
}

// give takes a parcel back whose items were received. Any goroutine.
func (s *spares) give(p *parcel) {
	if cap(p.bytes) > s.bytes || cap(p.items) > s.items {
		return
	}
	clear(p.items)
	p.bytes, p.items, p.size, p.since = p.bytes[:0], p.items[:0], 0, 0
	s.mu.Lock()
	room := p.room()
	listed := s.held+room <= s.most
	if listed {
		s.list = append(s.list, p)
		s.held += room
	}
	s.mu.Unlock()
	if !listed {
		s.flood.Put(p)
	}
}

// add appends an item. It is valid until the next add.
func (p *parcel) add(kind itemKind) *item {
	p.items = append(p.items, item{})
	p.size += itemCharge
	it := &p.items[len(p.items)-1]
	it.kind = kind
	return it
}

// copy makes a message, in two parts, the last item's.
func (p *parcel) copy(it *item, header, payload []byte) {
	it.start = uint32(len(p.bytes))
	p.bytes = append(append(p.bytes, header...), payload...)
	it.end = uint32(len(p.bytes))
	p.size += len(header) + len(payload)
}

// refer makes a message in a buffer of its own the last item's. It retains the body.
func (p *parcel) refer(it *item, body *ringbuf.Shared) {
	body.Retain(1)
	it.body = body
	p.size += len(body.B)
}

// message returns an item's message: valid until the parcel is freed, or its body released.
func (p *parcel) message(it *item) []byte {
	if it.body != nil {
		return it.body.B
	}
	return p.bytes[it.start:it.end]
}

// packRequest makes q the last item's.
func (p *parcel) packRequest(it *item, q *request) {
	it.text, it.hops, it.from = q.text, q.hops, q.requester
	if q.mark != 0 {
		it.rare = &rare{mark: q.mark}
	}
	it.idLen, it.topicLen = uint8(len(q.id)), uint16(len(q.topic))
	it.start = uint32(len(p.bytes))
	p.bytes = binary.LittleEndian.AppendUint64(p.bytes, uint64(q.arrived))
	p.bytes = binary.LittleEndian.AppendUint64(p.bytes, uint64(q.deadline))
	p.bytes = append(binary.LittleEndian.AppendUint32(p.bytes, q.arrivedNs), q.tries)
	p.bytes = appendPacked(p.bytes, q)
	it.end = uint32(len(p.bytes))
	p.size += int(it.end - it.start)
}

// request is the inverse of packRequest. It aliases the parcel.
func (p *parcel) request(it *item) request {
	var q request
	q.requester, q.text, q.hops, q.mark = it.from, it.text, it.hops, it.mark()
	b := p.bytes[it.start:it.end]
	q.arrived = int64(binary.LittleEndian.Uint64(b))
	q.deadline = int64(binary.LittleEndian.Uint64(b[8:]))
	q.arrivedNs, q.tries = binary.LittleEndian.Uint32(b[16:]), b[20]
	q.unpack(b[21:], it.idLen, it.topicLen)
	return q
}

// parcelFor returns the parcel that is being filled for another loop. Who adds to it calls added
// afterwards. Loop only.
func (l *Loop) parcelFor(to *Loop) *parcel {
	out := &l.parcels[to.index]
	if out.parcel == nil {
		out.parcel = l.broker.spares.take()
		out.parcel.since = l.time.Ns
		l.carried++
	}
	return out.parcel
}

// losses are deliveries that an inbox refused, by who does not get them, in the order in which they
// were first lost.
type losses struct {
	list []loss
	at   map[*service]int32 // places in list
}

type loss struct {
	of    *service
	count int
}

func (s *losses) add(of *service, n int) {
	if i, ok := s.at[of]; ok {
		s.list[i].count += n
		return
	}
	if s.at == nil {
		s.at = make(map[*service]int32)
	}
	s.at[of] = int32(len(s.list))
	s.list = append(s.list, loss{of, n})
}

// sendCall has f run on another loop, in order with what else this one sends it. Loop only.
func (l *Loop) sendCall(to *Loop, f func(*Loop)) {
	p := l.parcelFor(to)
	p.add(itemCall).rare = &rare{call: f}
	l.added(to, p)
}

// added hands the parcel over early when there is enough in it, and notes when the inbox it goes to
// fills up. Loop only.
func (l *Loop) added(to *Loop, p *parcel) {
	if l.fills(to, holdFrom) {
		l.crowded = to
	}
	if p.size >= l.broker.parcelBytes || len(p.items) >= l.broker.parcelItems {
		l.handOver(to.index)
	}
}

// fills says whether more than so many eighths of an inbox are full, with what is on its way there.
// Loop only.
func (l *Loop) fills(to *Loop, eighths int64) bool {
	held := l.broker.filled(&to.inbox)
	if p := l.parcels[to.index].parcel; p != nil {
		held += int64(p.size)
	}
	return 8*held > eighths*int64(l.broker.inboxBytes)
}

// mayFill says whether an inbox has room for n more bytes of what may be refused: a publish or a
// request. Once something was refused, all that follows is, until that loss can be told. Loop only.
func (l *Loop) mayFill(to *Loop, n int) bool {
	out := &l.parcels[to.index]
	if out.lost != nil || to.inbox.full.Load() {
		return false
	}
	held := l.broker.filled(&to.inbox)
	if out.parcel != nil {
		held += int64(out.parcel.size)
	}
	return held+int64(n+itemCharge) <= int64(l.broker.inboxBytes)
}

// lose notes that a publish was refused to an inbox: its targets there are told after all that was
// put before it. Loop only.
func (l *Loop) lose(g *remoteGroup) {
	out := &l.parcels[g.loop.index]
	if out.lost == nil {
		out.lost = new(losses)
	}
	l.parcelFor(g.loop) // something to hand over
	for _, s := range g.targets {
		out.lost.add(s, 1)
	}
	l.spend(len(g.targets))
}

// handOver gives the parcel for a loop to its inbox. Loop only.
func (l *Loop) handOver(index int) {
	out := &l.parcels[index]
	p, to := out.parcel, l.broker.loops[index]
	lost := out.lost
	out.parcel, out.lost = nil, nil
	l.carried--
	to.accept(p, lost, l, len(out.held) > 0)
}

// handOverAll ends what the turn has gathered for other loops.
func (l *Loop) handOverAll() {
	if c := l.broker.cluster; c != nil {
		l.crossing.some = false
		c.Flush(l.index)
	}
	for i := range l.parcels {
		if l.parcels[i].parcel != nil {
			l.handOver(i)
		}
	}
}
