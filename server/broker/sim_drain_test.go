package broker

import (
	"encoding/json"
	"slices"
	"time"

	"mbserver/codec"
)

// simDrain is what is known of a node that is drained.
type simDrain struct {
	drains   bool // it ends by going away
	draining bool
	stops    bool  // and takes no connections any more
	over     bool  // and the time for that is over
	parting  bool  // what is outstanding is being ended, and nothing else happens
	grace    int64 // ms
	window   int64 // ms within which the slots lie
}

// simLeaver is what is known of a client that is to go.
type simLeaver struct {
	toldToGo bool
	away     bool // the node has sent it away, and nothing of it is lost
}

// drain begins the end of a node that goes away, or is drained by its operator: each connection is
// told when to go, and life goes on.
func (s *simulation) drain() {
	if !s.drains {
		return
	}
	s.say("the node is drained")
	s.n.Unready()
	s.life(10) // balancers learn of it
	spread := int64(s.random.IntN(400))
	s.grace, s.draining = int64(s.random.IntN(600)), true
	left := int64(slotReserve + s.random.IntN(500) - 100)
	s.window = min(spread, max(left-slotReserve, 0))
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	if s.stops = s.chance(50); s.stops {
		if err := s.n.Refuse(); err != nil {
			s.fail("%v", err)
		}
	}
	s.n.Depart(Schedule{Spread: ms(spread), Rate: 1e6, Grace: ms(s.grace), Time: ms(left)})
	s.life(150)
	switch {
	case !s.stops:
		if s.chance(50) {
			s.cancelDrain()
		}
		_ = s.n.Refuse()
		s.stops = true
	case s.chance(50):
		s.overtime()
	}
}

// life lets so many random steps go by.
func (s *simulation) life(steps int) {
	for range steps {
		s.step++
		s.act()
		s.observe()
		s.checkAlways()
	}
}

// cancelDrain ends a drain, and holds that nobody is told to go from then on.
func (s *simulation) cancelDrain() {
	s.say("the drain is cancelled")
	if !s.n.ReadyAgain() {
		s.fail("there is no drain to be cancelled")
	}
	s.settle()
	for _, k := range s.places {
		if k != nil && k.alive() && k.marked(markTold) && !k.marked(markDue) {
			s.fail("%s is still to go", k.name)
		}
	}
	s.totals["drain cancelled"]++
}

// overtime is the end of the time to drain: what is outstanding is answered, each once, as the rest
// of the simulation holds.
func (s *simulation) overtime() {
	s.say("the time to drain is over")
	s.over = true
	words := s.n.sendWords((*Loop).failOutstanding)
	s.parting = true
	s.settle()
	s.parting = false
	if len(words) != cap(words) {
		s.fail("%d words were heard of %d", len(words), cap(words))
	}
	if left := s.n.outstanding.Load(); left != 0 {
		s.fail("%d requests are outstanding after the time to drain", left)
	}
}

// goAway ends every connection as Shutdown does, and holds that each WebSocket was told why.
func (s *simulation) goAway() {
	var there []*simClient
	for _, k := range s.places {
		if k != nil && k.alive() {
			there = append(there, k)
			k.excused = true
		}
	}
	for _, l := range s.n.loops {
		l.call((*Loop).goAway)
	}
	s.settle()
	s.linger()
	for _, k := range there {
		if !k.sock.closed {
			s.fail("%s is still connected", k.name)
		}
		if k.transport == TransportWS && k.sock.err == nil {
			s.totals["went away with 1001"]++
			if k.closeCode != codec.CloseGoingAway {
				s.fail("%s was closed with %d", k.name, k.closeCode)
			}
		}
	}
}

// noteDrain takes the word that the client is to go.
func (k *simClient) noteDrain(m *testMessage) {
	s := k.s
	var is struct{ ReconnectAfterMs, DeadlineMs int64 }
	if json.Unmarshal(m.payload, &is) != nil || !s.draining || k.toldToGo ||
		is.ReconnectAfterMs < 0 || is.ReconnectAfterMs > s.window ||
		is.DeadlineMs < 0 || is.ReconnectAfterMs > is.DeadlineMs {
		s.fail("%s is told to go in a window of %d ms: %s", k.name, s.window, m.payload)
	}
	k.toldToGo = true
	s.totals["told to go"]++
}

// sentAway says that the node may have closed k because it is drained; nothing may be lost by it
// (checkParted).
func (k *simClient) sentAway() bool {
	s := k.s
	if !s.draining || !k.marked(markDue) || k.Conn.aborted {
		return false
	}
	k.excused = true
	s.totals["sent away"]++
	if k.marked(markCut) || s.over || k.unsteady {
		return true
	}
	k.away = true
	return true
}

// checkParted holds that who was sent away has all its answers when its stream ends: what was in
// its ring may take some turns.
func (k *simClient) checkParted() {
	s := k.s
	if !k.away || !k.sock.closed && !k.sock.writeClosed || k.marked(markCut) || k.unsteady {
		return
	}
	for _, r := range s.requests {
		if r.from == k && r.id != "" && r.answers == 0 {
			s.fail("%s was sent away and awaits the answer to %s", k.name, r.key)
		}
	}
	for _, p := range s.publishes {
		if p.from == k && p.id != "" && p.answers == 0 {
			s.fail("%s was sent away and awaits the answer to %s", k.name, p.key)
		}
	}
	for _, c := range s.calls {
		if c.from == k && c.answers == 0 {
			s.fail("%s was sent away and awaits the answer to %s", k.name, c.topic)
		}
	}
}

// refusedEarly says what is wrong with a request that was answered that the node goes away.
func (s *simulation) refusedEarly(r *simRequest) string {
	k := r.from
	switch {
	case s.over || k.marked(markCut) || r.target != nil && r.target.marked(markCut):
		return ""
	case !s.draining:
		return "the node is not going away"
	case !k.marked(markRefused):
		return "its requester may ask"
	case r.target != nil:
		return "it was delivered"
	}
	s.totals["asked after the grace"]++
	return ""
}

// checkDrain holds that whose slot has come is closed when nothing of it is outstanding, and that
// nobody is refused before the grace is over.
func (s *simulation) checkDrain() {
	if !s.draining {
		return
	}
	idle := s.idle()
	clients, serving, told := int64(0), int64(0), int64(0)
	for _, l := range s.n.loops {
		for _, c := range l.conns {
			if c == nil || c.state != stateOpen && c.state != stateClosing {
				continue
			}
			if c.marked(markTold) {
				told++
			}
			if c.serves() {
				serving++
			} else {
				clients++
			}
			if c.state == stateOpen && idle && c.marked(markDue) {
				s.checkDue(c)
			}
		}
	}
	b := s.n.Broker
	if clients != b.clients.Load() || serving != b.serving.Load() || told != b.going.Load() {
		s.fail("%d clients and %d services stand, %d are to go; counted are %d, %d and %d",
			clients, serving, told, b.clients.Load(), b.serving.Load(), b.going.Load())
	}
}

// checkDue holds that c, whose slot has come, is there for a reason, and not for ever.
func (s *simulation) checkDue(c *Conn) {
	d := &c.loop.drain
	waits := func(q *line[departure]) bool {
		return slices.ContainsFunc(q.waiting(), func(w departure) bool {
			return w.slot == c.slot && w.gen == c.gen
		})
	}
	switch {
	case c.marked(markCut):
		if !waits(&d.cuts) {
			s.fail("%s is cut off, and stays", c.id)
		}
	case c.serves() && s.n.clients.Load() > 0:
		if !c.marked(markHeld | markGrace | markRefused) {
			s.fail("%s serves, and is neither held nor in its grace", c.id)
		}
		if c.marked(markHeld) {
			s.totals["held while clients stand"]++
		}
	case c.marked(markHeld):
		s.fail("%s is held, and no client stands", c.id)
	case !c.marked(markRefused):
		if !c.busy() || !waits(&d.busy) {
			s.fail("%s has nothing outstanding (%v) or no end of its grace", c.id, c.busy())
		}
		s.totals["kept beyond its slot"]++
	case !c.expects():
		s.fail("%s has nothing outstanding, and its grace is over", c.id)
	case c.marked(markAsks) && !waits(&d.asks):
		s.fail("%s asks on for ever", c.id)
	}
}
