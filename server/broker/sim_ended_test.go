package broker

import "slices"

// simEnded is what is known of a client that has ended its stream.
type simEnded struct {
	half    bool  // it has
	endedAt int64 // ms
	lastAt  int64 // the same by the loop's clock of silence
}

// askAndGo ends the client's stream, perhaps behind some last questions.
func (k *simClient) askAndGo() {
	if k.s.chance(70) {
		for range 1 + k.s.random.IntN(3) {
			k.request(k.pick(simTopics))
			k.publish()
		}
		k.deliver(len(k.outbox))
	}
	k.bye(false)
}

// noteEnded notes that the node has something for the client yet.
func (k *simClient) noteEnded() {
	k.endedAt, k.lastAt = k.s.n.ms, k.driver().listened()
	k.s.totals["ended its stream and stayed"]++
}

// awaits says that the answer to r, which is just given, must reach the client, which has ended its
// stream: it is on the loop of the target, where the turn that takes the answer also writes it, it
// takes everything, and the time for that is not over.
func (k *simClient) awaits(r *simRequest) bool {
	owed := k.half && k.Conn.state == stateEnded && !k.unsteady && k.sock.err == nil &&
		k.loop == r.target.loop && k.s.n.ms < k.endedAt+lingerTime.Milliseconds() &&
		r.answers == 0 && k.loop.time.Ms < r.deadline
	if owed {
		k.s.totals["answered after the end"]++
	}
	return owed
}

// checkEnded holds that who has ended its stream is owed something, and not for too long.
func (s *simulation) checkEnded() {
	for _, l := range s.n.loops {
		for _, c := range l.conns {
			if c == nil || l.inTurn || c.state != stateEnded {
				continue
			}
			if c.unanswered == 0 && c.out.Empty() && !slices.Contains(l.closing.waiting(), c) {
				s.fail("%s has ended and is owed nothing", c.id)
			}
		}
	}
	for _, k := range s.places {
		if k != nil && k.half && !k.ended && s.idle() && k.Conn.state == stateEnded &&
			k.driver().listened() > k.lastAt+lingerTime.Milliseconds() {
			s.fail("%s has ended %d ms ago", k.name, k.driver().listened()-k.lastAt)
		}
	}
}
