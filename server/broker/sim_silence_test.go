package broker

import (
	"slices"
	"testing"
)

// simSilence is what is known of a client's silence.
type simSilence struct {
	mute    bool  // it answers no heartbeat
	heardAt int64 // when the node last took bytes of it or did not read it, by the clock of silence
}

// startSilence makes some clients mute, where silence matters.
func (k *simClient) startSilence() {
	k.mute = k.s.heartbeats && k.s.chance(20)
	k.noteSign()
}

func (k *simClient) driver() *testDriver { return k.s.n.drivers[k.loop.index] }

// noteSign notes a sign of life, in the turn that its loop is in.
func (k *simClient) noteSign() {
	d := k.driver()
	k.heardAt = d.woke - d.silence.absent
}

// silentTooLong says that the node may have closed k for its silence.
func (k *simClient) silentTooLong() bool {
	if !k.s.heartbeats || k.driver().listened()-k.heardAt < k.s.n.heartbeatDeregister {
		return false
	}
	if !k.excused {
		k.s.say("%s was silent for too long", k.name)
		k.s.totals["closed for silence"]++
	}
	k.excused = true
	return true
}

// noteUnread notes whom loop i, which begins a turn, has not read: their silence is its own.
func (s *simulation) noteUnread(i int) {
	for _, k := range s.places {
		if k != nil && k.paused != nil && k.loop.index == i {
			k.noteSign()
		}
	}
}

// noteTaking notes who took bytes, as far as word of that had come to l before the turn that it has
// just ended, and it went on with them: that is a sign of life, too.
func (s *simulation) noteTaking(l *Loop) {
	for _, k := range s.places {
		if k != nil && k.loop == l && k.sock.room && !l.inbox.hasRoomFor(k.Handle()) {
			k.sock.room = false
			k.noteSign()
		}
	}
}

// hasRoomFor says that word of room for the connection waits in the inbox.
func (in *inbox) hasRoomFor(slot, gen uint32) bool {
	h := handle{slot, gen}
	return slices.Contains(in.room, h) || slices.Contains(in.takenRoom[in.nextRoom:], h)
}

// checkSilence holds that who is silent for too long is closed, but nobody for the node's absence.
func (s *simulation) checkSilence() {
	for _, k := range s.places {
		if k == nil {
			continue
		}
		silent := k.driver().listened() - k.heardAt
		if s.heartbeats && s.idle() && k.alive() && k.paused == nil &&
			silent >= s.n.heartbeatDeregister {
			s.fail("%s is silent for %d ms and was not closed", k.name, silent)
		}
	}
}

// stop has the process stand still for a while, as a signal or a paused machine makes it: the clock
// goes on, and bytes arrive.
func (s *simulation) stop() {
	by := int64(1000 + s.random.IntN(4000))
	s.say("the process stands still for %d ms", by)
	s.totals["stood still"]++
	s.n.advance(by)
}

// linger lets so much time go by that whoever has ended is gone; no loop is away meanwhile.
func (s *simulation) linger() {
	const step = absenceMin - 1
	for left := lingerTime.Milliseconds() + graceMax; left >= 0; left -= step {
		s.n.advance(step)
		s.settle()
	}
}

// The simulation knows what the node takes for a sign of life: who takes bytes late is closed so
// much later, neither before nor not at all.
func TestSimulationHearsWhoTakesBytes(t *testing.T) {
	var s *simulation
	for seed := uint64(1); s == nil || !s.heartbeats; seed++ {
		s = newSimulation(t, seed)
	}
	s.connect(0)
	k := s.places[0]
	k.mute = true
	k.sock.unlimited, k.sock.budget = false, 0 // it does not even take its welcome
	const step, late = absenceMin - 1, 8 * (absenceMin - 1)
	took, most := int64(0), late+s.n.heartbeatDeregister
	for ; k.alive() && took <= most; took += step {
		s.settle()
		if took == late {
			k.unblock(0, true)
			s.settle()
		}
		s.n.advance(step)
	}
	s.settle()
	if k.alive() || took <= most-step {
		t.Errorf("alive: %v, after %d ms; it took bytes after %d", k.alive(), took, late)
	}
	if s.totals["closed for silence"] != 1 {
		t.Error("the simulation has not seen it closed for silence")
	}
}
