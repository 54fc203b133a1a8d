package broker

import (
	"strings"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/server/event"
	"mbserver/server/limit"
	"mbserver/server/system"
	"mbserver/server/trouble"
	"mbserver/topic"
)

// What is remembered of a connection: its last events, and what is wrong with it.
//
// Purpose. Whoever is called at night sees what a connection went through, and why it went, though
// nobody watched. What is wrong now is known since it is (troubles.go).
//
// Outline. What happens once is an event in the connection's log (note). What goes on, or comes
// again and again, is a spell (begins and comes, ends): one event with a count and a duration,
// which is written when it begins and brought up to date when it is over or somebody asks. Opening
// is no event of the log: it is what is known of every connection. When the connection leaves, its
// log goes to the end of the loop's list of those that have left (pasts), from the beginning of
// which the oldest fall off.
//
// Cost. A connection that only stands has no log. No message makes an event that is taken as it
// came; of what is refused or lost only the first makes one. Logs, and the spells, are charged to
// memory.limit as their loop's; where they have had their part of it logs do not grow, and a spell
// is not begun.

// story is what a connection has of that beside its spells. Loop only.
type story struct {
	log     event.Log
	charged int64 // bytes, of log and spells
	ended   bool  // why it goes is known
}

// Part of memory.limit (1/n) that logs may hold, and that logs and spells may; what is kept of
// connections that have left is a fixed part, and not charged.
const (
	logsShare   = 32
	spellsShare = 16
	pastsShare  = 128
	pastsBytes  = 1 << 20 // of the node, at the most
)

// spellCharge is what a spell is charged, in bytes.
const spellCharge = 96

// spell is a spell of one connection. It is written by its loop, and read by any goroutine.
type spell struct {
	trouble.Spell
	kind   event.Kind // immutable, as are detail and next
	detail uint8
	next   *spell
	limit  atomic.Uint32                 // that it is over; 0: there is none
	topics atomic.Pointer[topic.Pattern] // of that limit; nil: it has none, or is for all
	before atomic.Int64                  // deliveries that were dropped before it
	record uint32                        // the number of its event. Loop only
}

// times are the spell's; of one in which messages are lost, Count is how many are.
func (s *spell) times(p *particulars, now int64) trouble.Times {
	t := s.Last(now)
	if s.kind == event.Lost {
		t.Count = p.dropped.Load() - s.before.Load()
	}
	return t
}

// storyOf returns what is remembered of c, from now on.
func (c *Conn) storyOf() *story {
	p := c.describe()
	if p.story == nil {
		p.story = new(story)
	}
	return p.story
}

// charge charges the loop for what c is remembered by.
func (l *Loop) chargeStory(st *story, bytes int64) {
	st.charged += bytes
	l.charge += bytes
	l.broker.stories.Add(bytes)
}

// note adds an event to c's log, and returns its number.
func (c *Conn) note(kind event.Kind, detail uint8, number uint32, text string) (record uint32) {
	if c.marked(markLeft) {
		return 0
	}
	l := c.loop
	e := event.Event{
		At: l.time.Unix, Kind: kind, Detail: detail, Count: 1, Number: number, Text: text,
	}
	st := c.storyOf()
	held := st.log.Held()
	may := kind == event.Closed || l.broker.stories.Load()+int64(held) < l.broker.logBytes
	record = st.log.Append(&e, may)
	if grown := st.log.Held() - held; grown > 0 {
		l.chargeStory(st, int64(grown))
	}
	return record
}

// spellOf returns c's spell of a kind, or nil.
func (c *Conn) spellOf(kind event.Kind, detail uint8) *spell {
	p := c.particulars.Load()
	if p == nil {
		return nil
	}
	for s := p.spells.Load(); s != nil; s = s.next {
		if s.kind == kind && s.detail == detail {
			return s
		}
	}
	return nil
}

// spell is spellOf for what begins: there is one from now on, unless there is no memory for it, or
// c has left.
func (c *Conn) spell(kind event.Kind, detail uint8) *spell {
	if s := c.spellOf(kind, detail); s != nil {
		return s
	}
	l := c.loop
	if c.marked(markLeft) || l.broker.stories.Load() > l.broker.spellBytes {
		return nil
	}
	p := c.describe()
	s := &spell{kind: kind, detail: detail, next: p.spells.Load()}
	if s.next == nil {
		l.broker.ills.ailing.Add(1)
	}
	p.spells.Store(s)
	l.chargeStory(c.storyOf(), spellCharge)
	return s
}

// limited notes that c is over a limit, once more.
func (c *Conn) limited(over limit.Refusal) {
	s := c.spell(event.Limited, event.ScopeOf(over.Scope))
	if s == nil {
		return
	}
	if rate := uint32(over.Rate.Limit()); s.limit.Load() != rate {
		s.limit.Store(rate)
	}
	text := ""
	if over.Pattern != nil {
		text = over.Pattern.String()
		if s.topics.Load() != over.Pattern {
			s.topics.Store(over.Pattern)
		}
	}
	c.again(s, text)
}

// comes notes something that may come again and again, once more.
func (c *Conn) comes(kind event.Kind, detail uint8, text string) {
	if s := c.spell(kind, detail); s != nil {
		c.again(s, text)
	}
}

// again notes that a spell has come once more; text is of its event, if that is the first time.
func (c *Conn) again(s *spell, text string) {
	now := c.loop.time.Ms
	if old := s.Last(now); s.Note(now) {
		c.opens(s, old, text)
	}
}

// begins notes that something goes on, until ends.
func (c *Conn) begins(kind event.Kind, detail uint8, text string) {
	s := c.spell(kind, detail)
	if s == nil {
		return
	}
	now, p := c.loop.time.Ms, c.particulars.Load()
	if old := s.times(p, now); s.Begin(now) {
		s.before.Store(p.dropped.Load())
		c.opens(s, old, text)
	}
}

// ends ends what begins has noted.
func (c *Conn) ends(kind event.Kind, detail uint8) {
	if s := c.spellOf(kind, detail); s != nil {
		s.End(c.loop.time.Ms)
	}
}

// opens writes the event of a spell that has begun, when the one before it, if there was one, has
// its count.
func (c *Conn) opens(s *spell, old trouble.Times, text string) {
	c.closes(s, old)
	s.record = c.note(s.kind, s.detail, s.limit.Load(), text)
}

// closes brings the event of a spell up to date.
func (c *Conn) closes(s *spell, t trouble.Times) {
	st := c.particulars.Load().story
	if t.Since == 0 || st == nil {
		return
	}
	span := uint32(min(t.Last-t.Since, event.Ongoing-1))
	if t.On {
		span = event.Ongoing
	}
	st.log.Change(s.record, uint32(min(t.Count, event.Ongoing)), span)
}

// copyEvents returns c's events as they are now, and how many older ones are forgotten.
func (c *Conn) copyEvents() (events []byte, forgotten int) {
	p := c.particulars.Load()
	if p == nil || p.story == nil {
		return nil, 0
	}
	for s := p.spells.Load(); s != nil; s = s.next {
		c.closes(s, s.times(p, c.loop.time.Ms))
	}
	return p.story.log.Copy()
}

// noteProfile notes what c has registered as, unless it was that before.
func (c *Conn) noteProfile(was, is *system.Profile) {
	if was == nil || !was.Equal(is) {
		c.note(event.Registered, 0, 0, is.Name)
	}
}

// noteBehind notes whether c's ring is nearly full.
func (c *Conn) noteBehind() {
	most := c.loop.broker.droppable
	if c.out.Bytes() > most.Bytes/4*3 || c.out.Messages() > most.Messages/4*3 {
		c.begins(event.Behind, 0, "")
	} else {
		c.ends(event.Behind, 0)
	}
}

// goes notes why c is closed; the first reason counts.
func (c *Conn) goes(why string) {
	if c.marked(markLeft) {
		return
	}
	if st := c.storyOf(); !st.ended {
		st.ended = true
		c.note(event.Closed, 0, 0, why)
	}
}

// remember hands what is known of c, which leaves, to the list of those that have left.
func (c *Conn) remember() {
	c.goes("closed by the node")
	l, p := c.loop, c.particulars.Load()
	for s := p.spells.Load(); s != nil; s = s.next {
		s.End(l.time.Ms)
	}
	if c.standing == nil || !c.standing.demanded {
		past := &past{id: c.id, about: c.about()}
		past.events, past.forgotten = c.copyEvents()
		l.pasts.add(past, l.broker.pastBytes)
	}
	if p.spells.Swap(nil) != nil {
		l.broker.ills.ailing.Add(-1)
	}
	l.chargeStory(p.story, -p.story.charged)
	p.story = nil
}

// about is what is known of a connection beside its events.
type about struct {
	name, identity string
	peer           peer
	transport      Transport
	openedAt       int64 // Unix ms
	proved         bool  // it came with its credentials
}

// about returns what is known of s. Any goroutine.
func (s *service) about() about {
	a := about{
		peer: s.peer, transport: s.transport, openedAt: s.connectedAt,
		proved: s.marked(markProved),
	}
	if p := s.particulars.Load(); p != nil {
		if profile := p.profile.Load(); profile != nil {
			a.name = profile.Name
		}
		if who := p.identity.Load(); who != nil {
			a.identity = *who
		}
	}
	return a
}

// past is a connection that has left. Loop only.
type past struct {
	id        codec.UUID
	about     about
	events    []byte // for event.Read
	forgotten int
}

// pastCharge is what one takes beside its events and texts, in bytes.
const pastCharge = 176

func (p *past) size() int64 {
	return int64(pastCharge + len(p.events) + len(p.about.name) + len(p.about.identity))
}

// pasts are those that have left this loop, the last ones, in order. Loop only.
type pasts struct {
	line[*past]
	bytes int64 // they hold
}

// add adds one; the oldest fall off, so that they hold no more than most bytes.
func (ps *pasts) add(p *past, most int64) {
	p.about.name, p.about.identity = strings.Clone(p.about.name), strings.Clone(p.about.identity)
	ps.push(p)
	for ps.bytes += p.size(); ps.bytes > most; {
		ps.bytes -= ps.pop().size()
	}
}

// find returns the one of that ID, or nil.
func (ps *pasts) find(id codec.UUID) *past {
	for _, p := range ps.waiting() {
		if p.id == id {
			return p
		}
	}
	return nil
}
