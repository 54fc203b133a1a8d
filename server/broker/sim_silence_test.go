package broker

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
