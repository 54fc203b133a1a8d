package broker

import (
	"net/netip"
	"sync/atomic"
	"unicode/utf8"

	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/permit"
	"mbserver/server/system"
)

// service is a connection's public face (in the contract every connection is a service): what trie,
// routes and other loops may hold. It outlives the connection; slot and gen tell the owning loop
// whether that still exists.
type service struct {
	// Immutable after open.
	loop        *Loop // first, beside what a delivery needs of a conn
	slot, gen   uint32
	id          codec.UUID
	connectedAt int64 // Unix ms
	transport   Transport
	form        wireForm
	peer        peer // for the log

	// Atomic.
	outstanding atomic.Int32                // requests it was chosen for and has not answered
	capacity    atomic.Int32                // how many of those it may have; 0 = any number
	queued      atomic.Int32                // its own requests that wait for a service with room
	asking      atomic.Int32                // snapshots that it waits for
	marks       atomic.Uint32               // markStalled and its neighbours
	particulars atomic.Pointer[particulars] // nil until there are any
	lastSeen    atomic.Int64                // Unix ms of the last message
	errors      metrics.Window              // written by its loop only
	traffic
}

// particulars are what a service has to show that has registered, or does not keep up, or did not:
// most connections do neither. Their loop writes them, any goroutine reads them.
type particulars struct {
	profile         atomic.Pointer[system.Profile] // nil until registered
	bytes, messages atomic.Int64                   // that wait for it, as recharge sees it
	dropped         atomic.Int64                   // deliveries that it did not get
	identity        atomic.Pointer[string]         // who it is; nil: not known
	rules           atomic.Pointer[permit.Rules]   // what it may do; nil: everything
	spells          atomic.Pointer[spell]          // what is wrong with it, or was; nil: nothing
	answers         atomic.Pointer[metrics.Recent] // how long it takes for them; nil: it gave none
	story           *story                         // its loop's alone; nil: nothing is remembered
	offered         *offered                       // its loop's alone; nil: others know nothing
	far             *far                           // immutable; nil: it is of this node
}

// profile returns what s registered, nil when it has not. Any goroutine.
func (s *service) profile() *system.Profile {
	if p := s.particulars.Load(); p != nil {
		return p.profile.Load()
	}
	return nil
}

// describe returns c's particulars, which it has from now on. Loop only.
func (c *Conn) describe() *particulars {
	p := c.particulars.Load()
	if p == nil {
		p = new(particulars)
		c.particulars.Store(p)
	}
	return p
}

// show notes what waits.
func (p *particulars) show(bytes, messages int) {
	p.bytes.Store(int64(bytes))
	p.messages.Store(int64(messages))
}

// Marks of a service, in one word: an idle connection costs what its fields do.
const (
	markStalled uint32 = 1 << iota // its socket takes nothing, or it is muted: it gets no requests
	markWaited                     // requests wait for its room: only grants take it
	markLeft                       // its connection has left the node
	markGone                       // and gets no answers any more either
	markCounted                    // its place is one of its address
	markUnread                     // its socket is not read
	markServes                     // it is subscribed for requests

	// Of a drain (loop_drain.go), set by its loop only.
	markTold    // it was told when to go
	markDue     // its slot has come: it gets requests only when nobody else may have them
	markHeld    // but it serves requests, and clients stand
	markGrace   // it has the grace, because something of it was outstanding
	markRefused // which is over: what it asks is refused
	markAsks    // and it has asked
	markCut     // the end takes something from it
	markReady   // it is among those that may have nothing outstanding any more

	markProved // it came with its credentials

	// Of a service of another node (abroad.go).
	markFar  // it is one
	markBusy // it had no room, and has not said since that it has
)

// marked says whether s has the mark. Any goroutine.
func (s *service) marked(m uint32) bool { return s.marks.Load()&m != 0 }

// mark sets the mark or takes it away. Any goroutine.
func (s *service) mark(m uint32, on bool) {
	if on {
		s.marks.Or(m)
	} else {
		s.marks.And(^m)
	}
}

// peer is the address of a connection's other end, in half of the memory that netip takes. It has
// no zone.
type peer struct {
	port uint16
	ip   [16]byte
}

func peerOf(a netip.AddrPort) peer { return peer{port: a.Port(), ip: a.Addr().As16()} }

func (p peer) String() string { return netip.AddrPortFrom(p.addr(), p.port).String() }

// addr is the address without the port.
func (p peer) addr() netip.Addr { return netip.AddrFrom16(p.ip).Unmap() }

// countedBy is the address that Admit has counted the connection by, the zero one when by none.
func (s *service) countedBy() netip.Addr {
	if !s.marked(markCounted) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(s.peer.ip)
}

// Handle returns what names the connection on its loop, for Loop.Writable. Any goroutine.
func (s *service) Handle() (slot, gen uint32) { return s.slot, s.gen }

// hasRoom says whether one more request may go to s, of which it has n.
func (s *service) hasRoom(n int32) bool {
	return s.fits(n) && !s.marked(markStalled|markBusy)
}

// fits says whether s, which has n requests, may have one more by its capacity.
func (s *service) fits(n int32) bool {
	limit := s.capacity.Load()
	return limit == 0 || n < limit
}

// textFrame says whether a message leaves to s as text (protocol §1): text says that it is known to
// be. It decides nothing over TCP, and looks at no payload there.
func (s *service) textFrame(text bool, payload []byte) bool {
	return text || s.form != formTCP && utf8.Valid(payload)
}

// takeSome is take for as many as there is room for, up to most. It returns how many that were.
func (s *service) takeSome(most int32) int {
	for {
		n := s.outstanding.Load()
		if !s.hasRoom(n) {
			return 0
		}
		more := most
		if limit := s.capacity.Load(); limit != 0 {
			more = min(more, limit-n)
		}
		if more > 0 && s.outstanding.CompareAndSwap(n, n+more) {
			return int(more)
		}
	}
}

// take counts one more outstanding request, unless there is no room for it. Any goroutine.
func (s *service) take() bool {
	for {
		n := s.outstanding.Load()
		if !s.hasRoom(n) {
			return false
		}
		if s.outstanding.CompareAndSwap(n, n+1) {
			return true
		}
	}
}
