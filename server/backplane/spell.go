package backplane

import (
	"time"

	"mbserver/server/metrics"
)

// spell is something that goes wrong now and then, as a count says: since when, and when last.
// Guarded by the plane's mu.
type spell struct {
	total       uint64 // the count, as it was last
	begun       uint64 // as it was before the spell
	since, last time.Duration
	known       bool // total is
}

// spellGap is after what time without a sign the next one begins another spell.
const spellGap = 3 * time.Second

// note looks whether a count has grown. What it grew by while it was not to be noted is passed
// over.
func (s *spell) note(now time.Duration, total uint64, noted bool) {
	if s.known && noted && total > s.total {
		if s.last == 0 || now-s.last > spellGap {
			s.begun, s.since = s.total, now
		}
		s.last = max(now, 1)
	}
	s.total, s.known = total, true
}

// told is a spell, by the clock on the wall.
func (s *spell) told(now time.Time, clock time.Duration) metrics.Spell {
	if s.last == 0 {
		return metrics.Spell{}
	}
	return metrics.Spell{
		Since: now.Add(s.since - clock), Last: now.Add(s.last - clock), Count: s.total - s.begun,
	}
}

// troubles are what goes wrong with another node. Guarded by the plane's mu.
type troubles struct {
	losing   spell // publishes of it do not arrive
	missing  spell // requests and answers of it do not
	dropping spell // what is for it finds no room
	slow     spell // its answers to heartbeats take longer than a heartbeat
	beats    uint64
}

// look notes what has gone wrong since the last tick. mu is held.
func (p *Plane) look(now time.Duration) {
	island := p.alone.Load()
	if !island {
		p.islandSince = 0
	} else if p.islandSince == 0 {
		p.islandSince = max(now, 1)
	}
	if !p.lonely.Load() {
		p.lonelySince = 0
	} else if p.lonelySince == 0 {
		p.lonelySince = max(now, 1)
	}
	for k, n := range p.nodes {
		var so metrics.Peer
		p.inward.count(k, &so)
		n.troubles.losing.note(now, so.Lost, true)
		lost, _ := p.calls.count(k)
		n.troubles.missing.note(now, lost, true)
		unsent := n.link.dropped.Load() + n.link.callsDropped.Load()
		n.troubles.dropping.note(now, unsent, !island)
		if n.roundTrip > p.o.Heartbeat && n.state == nodeLive {
			n.troubles.beats++
		}
		n.troubles.slow.note(now, n.troubles.beats, !island)
	}
}
