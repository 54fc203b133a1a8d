package trouble

import "sync/atomic"

// A Spell is something that goes on, or that comes again and again. Who finds it notes it, in a
// few stores and only when it happens, so that who asks later knows since when it is so: nobody has
// to watch meanwhile. What comes again within Gap goes on; what has not come for Gap is over. Times
// are milliseconds of one clock that never jumps. The zero value is nothing. Any goroutine; when
// several begin a spell at the same moment its count may miss some.
type Spell struct {
	on    atomic.Bool
	since atomic.Int64 // 0: never
	last  atomic.Int64
	count atomic.Int64
}

// Gap is, in ms, how long a spell goes on after its last sign.
const Gap = 3000

// Lasting is, in ms, how long what comes and goes by itself has to go on to be a trouble.
const Lasting = 500

// Note notes that it has come once more, at now, and says whether a new spell begins.
func (s *Spell) Note(now int64) (begins bool) {
	now = max(now, 1)
	last := s.last.Load()
	if begins = !s.on.Load() && (last == 0 || now-last > Gap); begins {
		s.since.Store(now)
		s.count.Store(0)
	}
	if last != now {
		s.last.Store(now)
	}
	s.count.Add(1)
	return begins
}

// Begin is Note for what goes on until End.
func (s *Spell) Begin(now int64) (begins bool) {
	if s.on.Load() {
		return false
	}
	begins = s.Note(now)
	s.on.Store(true)
	return begins
}

// End ends what Begin began.
func (s *Spell) End(now int64) {
	if s.on.Load() {
		s.last.Store(max(now, 1))
		s.on.Store(false)
	}
}

// Times are what is known of a spell.
type Times struct {
	Since, Last int64 // ms of its clock; Last: of the last sign of it
	Count       int64 // how often it has come
	On          bool  // it goes on
}

// Last returns the last spell; nothing when there was none. now is what Last is while it goes on.
func (s *Spell) Last(now int64) Times {
	t := Times{
		Since: s.since.Load(), Last: s.last.Load(), Count: s.count.Load(), On: s.on.Load(),
	}
	if t.On {
		t.Last = max(now, t.Since)
	}
	return t
}

// Stands says whether the spell is one of now.
func (t Times) Stands(now int64) bool {
	return t.Since != 0 && (t.On || now-t.Last <= Gap)
}

// Lasts says whether it has gone on for long enough to be no blink.
func (t Times) Lasts() bool { return t.Last-t.Since >= Lasting }

// Join returns what two spells are together; nothing is joined with nothing.
func (t Times) Join(o Times) Times {
	switch {
	case o.Since == 0:
		return t
	case t.Since == 0:
		return o
	}
	return Times{
		Since: min(t.Since, o.Since), Last: max(t.Last, o.Last), Count: t.Count + o.Count,
		On: t.On || o.On,
	}
}

// Spells are one for each of some causes. Any goroutine.
type Spells struct {
	names []string // immutable after Name
	all   []Spell
}

// Name says which causes there are. Before anybody notes one.
func (s *Spells) Name(causes []string) {
	s.names, s.all = causes, make([]Spell, len(causes))
}

// Note is Spell.Note for one of the causes that were named; others are passed over.
func (s *Spells) Note(cause string, now int64) {
	for i, name := range s.names {
		if name == cause {
			s.all[i].Note(now)
			return
		}
	}
}

// Each calls f for the spells that stand now.
func (s *Spells) Each(now int64, f func(cause string, t Times)) {
	for i := range s.all {
		if t := s.all[i].Last(now); t.Stands(now) {
			f(s.names[i], t)
		}
	}
}
