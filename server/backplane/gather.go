package backplane

import "time"

// Changes of interest leave at once, unless many come: each frame wakes every other node, which
// costs them as much as a hundred of the changes in it. So for some time after a frame changes are
// gathered, for longer when that frame had several: who subscribes one after the other, and waits
// for each answer, hardly waits longer; where thousands come and go each second, a frame has some
// hundreds of them.
const (
	gatherOne  = time.Millisecond
	gatherMany = 5 * time.Millisecond
	gatherMost = 20 * time.Millisecond

	// gatherCrowd is how many changes in a frame have them gathered for longest.
	gatherCrowd = 32
)

// gatherer is when changes are told. Guarded by the plane's mu.
type gatherer struct {
	until time.Duration // what changes before that is gathered
	some  bool          // there is something
}

// tell tells others what has changed, or gathers it. mu is held.
func (p *Plane) tell(now time.Duration) {
	g := &p.gather
	if g.some = now < g.until && p.interest.changed(); g.some {
		return
	}
	s := p.interest.take(false)
	switch n := len(s.changes); {
	case n == 1:
		g.until = now + gatherOne
	case n >= gatherCrowd:
		g.until = now + gatherMost
	case n > 1:
		g.until = now + gatherMany
	}
	p.tellChanges(s)
}

// tellGathered tells what was gathered, if its time has come, and says when it comes otherwise.
func (p *Plane) tellGathered(now time.Duration) (next time.Duration, any bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gather.some && now >= p.gather.until {
		p.tell(now)
	}
	return p.gather.until, p.gather.some
}
