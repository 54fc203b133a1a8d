package broker

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"mbserver/server/fair"
)

// laggards are a loop's connections that make it hold something, in the order in which they are cut
// when there is too little memory.
//
// Purpose. Who makes the node hold the most is cut first, and the small ones too when nobody else
// is left. Who reads, and a message that is just arriving, goes last among its like.
//
// Outline. A laggard is of the class of its size: class n holds less than 2ⁿ bytes, and at least
// half of that. One that is new, or whose backlog has just become less, weighs an eighth of its
// size (freshClasses) for a while (freshMs), without the snapshots that it reads: others refer to
// them too. Of the highest class those are cut first that weigh what they hold, and of them the one
// that got there first. What nobody takes away becomes the oldest of its class; a reader's comes
// anew all the time.
//
// Cost. A connection that holds nothing costs nothing. Noting a change and finding whom to cut take
// the same time however many laggards there are; promote looks at each one once, at promoteMost in
// a turn.
type laggards struct {
	// Atomic, written by the loop.
	largest atomic.Int32 // the highest class that has a laggard; 0: there is none

	// Owned by the loop.
	settled [laggardClasses]fair.List[*laggard] // by class
	fresh   [laggardClasses]fair.List[*laggard] // by the class that they are counted in
	present uint64                              // bit n: class n has one
	charge  int64                               // bytes, of all of them
	top     int64                               // bytes that the largest holds
	stale   bool                                // it holds less now: top is to be looked up
}

const (
	laggardClasses = 64
	freshMs        = 1000
	freshClasses   = 3

	// promoteMost is how many get their whole weight at a time, some 50 ns each. Of more some are
	// taken to be smaller than they are, for a turn.
	promoteMost = 4096
)

// laggard is a connection's place among them.
type laggard struct {
	link   fair.Link[*laggard]
	conn   *Conn
	charge int64 // bytes; more than 0
	paid   int64 // bytes that it keeps besides, of snapshots, which are charged to the node
	class  int   // it is in
	fresh  bool  // it is among the fresh ones of that class
	moved  int64 // loop ms at which it came, or its backlog became less
}

var laggardPool = sync.Pool{New: func() any {
	g := new(laggard)
	g.link.Item = g
	return g
}}

// classOf is the class of a size in bytes, which is more than 0.
func classOf(held int64) int { return bits.Len64(uint64(held)) }

// charge is what c is charged of the memory budget, in bytes.
func (c *Conn) charge() int64 {
	if c.lag == nil {
		return 0
	}
	return c.lag.charge
}

// note takes that c holds so many bytes now, and keeps so many that are paid for, and returns how
// many more it holds than before.
func (s *laggards) note(c *Conn, held, paid, now int64) (more int64) {
	g := c.lag
	more = held - c.charge()
	s.charge += more
	before := int64(0)
	if g != nil {
		before = g.charge + g.paid
	}
	s.noteTop(before, held+paid)
	switch {
	case held == 0 && g == nil:
	case held == 0:
		s.remove(g)
		c.lag, g.conn = nil, nil
		laggardPool.Put(g)
	case g == nil:
		g = laggardPool.Get().(*laggard)
		c.lag = g
		g.conn, g.charge, g.paid, g.moved = c, held, paid, now
		s.push(g, now)
	default:
		less := more < 0 || paid < g.paid
		g.charge, g.paid = held, paid
		if less {
			g.moved = now
		}
		if class, fresh := g.classAt(now); less || class != g.class || fresh != g.fresh {
			s.remove(g)
			s.push(g, now)
		}
	}
	return more
}

// classAt is the class that g belongs to, and whether it is fresh.
func (g *laggard) classAt(now int64) (class int, fresh bool) {
	if fresh = now-g.moved < freshMs; fresh {
		return max(classOf(g.charge)-freshClasses, 1), true
	}
	return classOf(g.charge + g.paid), false
}

func (s *laggards) list(g *laggard) *fair.List[*laggard] {
	if g.fresh {
		return &s.fresh[g.class]
	}
	return &s.settled[g.class]
}

func (s *laggards) push(g *laggard, now int64) {
	g.class, g.fresh = g.classAt(now)
	s.list(g).Push(&g.link)
	s.setPresent(s.present | 1<<g.class)
}

func (s *laggards) remove(g *laggard) {
	s.list(g).Remove(&g.link)
	if s.settled[g.class].First() == nil && s.fresh[g.class].First() == nil {
		s.setPresent(s.present &^ (1 << g.class))
	}
}

func (s *laggards) setPresent(present uint64) {
	if present != s.present {
		s.present = present
		s.largest.Store(int32(max(bits.Len64(present)-1, 0)))
	}
}

// topLooks is how many of the settled ones, and how many of the fresh ones, are looked at to find
// the largest: of more it may be another. Of the settled ones that is less than twice as large.
const topLooks = 64

// most is, in bytes, what the largest holds, paid or not.
func (s *laggards) most() int64 {
	if !s.stale {
		return s.top
	}
	s.stale, s.top = false, 0
	highest := bits.Len64(s.present) - 1
	looks := topLooks
	for class := highest; class > 0 && s.top == 0; class-- {
		s.lookAt(&s.settled[class], &looks)
	}
	// The class of a fresh one does not tell what it keeps of snapshots.
	looks = topLooks
	for class := highest; class > 0 && looks > 0; class-- {
		s.lookAt(&s.fresh[class], &looks)
	}
	return s.top
}

// lookAt raises the top to the largest on a list, of as many as may be looked at yet.
func (s *laggards) lookAt(list *fair.List[*laggard], looks *int) {
	for g := range list.All() {
		s.top = max(s.top, g.charge+g.paid)
		if *looks--; *looks == 0 {
			return
		}
	}
}

// noteTop keeps the largest, as one comes to hold so many bytes that held others before.
func (s *laggards) noteTop(before, now int64) {
	switch {
	case now >= s.top:
		s.top, s.stale = now, false
	case before == s.top:
		s.stale = true
	}
}

// promote gives those their whole weight that are not fresh any more, the largest first.
func (s *laggards) promote(now int64) {
	left := promoteMost
	for class := laggardClasses - 1; class > 0; class-- {
		list := &s.fresh[class]
		for k := list.First(); k != nil && now-k.Item.moved >= freshMs; k = list.First() {
			if left--; left < 0 {
				return
			}
			s.remove(k.Item)
			s.push(k.Item, now)
		}
	}
}

// first returns who is cut first. There must be somebody.
func (s *laggards) first() *Conn {
	class := s.largest.Load()
	if k := s.settled[class].First(); k != nil {
		return k.Item.conn
	}
	return s.fresh[class].First().Item.conn
}
