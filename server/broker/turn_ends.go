package broker

// Ends: what comes to its end, however much does at once.
//
// Purpose. A loop looks at its sockets in between when ten thousand deadlines come in the same
// millisecond, the service that all wait for leaves, or everybody is told to go.
//
// Outline. Whatever ends much is done in pieces: inPieces has it called in this turn and in those
// that follow until it is done, one thing after the other. endsTurn steps of that are taken in a
// turn: a request failed, a wait ended, a connection told to go (mayEnd). Connections that are to
// be closed (closeSome), those among them whose peers have gone and are owed nothing (peerClosed),
// pauses that have ended (resumePublishers), subscriptions of those who have left
// (endSubscriptions) and who is to go and may have nothing outstanding any more (departSome)
// stand in lines of their own, each with as many steps, so that none of these waits for another.
// Timers that are due fire for half a quantum (fireTimers).
//
// Invariants. What ends together does so in the order in which it was decided. Each turn takes at
// least one step of each kind. A loop with something left over has a turn coming (GivesWay).
//
// Cost. Nothing while nothing ends; no more than before when little does: that is done at once.
type ending struct {
	closing  line[*Conn]       // a close was decided
	resuming line[*service]    // their pause has ended
	leaving  line[leaver]      // have left, and the trie still knows them
	pieces   line[func() bool] // each says whether it is done
	fires    bool              // timers that are due are left over
	goesOn   func() bool       // mayFire, bound once
	firing   bool              // this turn's timers have been begun
	ends     ends
}

// ends are the steps that a turn has taken, of each kind.
type ends struct{ pieces, closes, resumes, subscriptions, departs int }

// timerWork is what it takes to fire a timer, in deliveries.
const timerWork = messageWork

// closeSteps is what it takes to close a connection and its descriptor, in steps of other kinds.
const closeSteps = 8

// endsMore says that something has ended and is not settled.
func (l *Loop) endsMore() bool {
	return l.fires || l.pieces.len() > 0 || l.closing.len() > 0 || l.resuming.len() > 0 ||
		l.leaving.len() > 0 || l.drain.ready.len() > 0
}

// inPieces calls f, behind all that it was called for before, in this turn and in those that follow
// until it says that it is done. Before each of its steps f asks mayEnd.
func (l *Loop) inPieces(f func() (done bool)) {
	if l.pieces.len() > 0 || !f() {
		l.pieces.push(f)
	}
}

// mayEnd says whether one more step may be taken in this turn, which is counted.
func (l *Loop) mayEnd() bool {
	may := l.mayTake(l.ends.pieces)
	l.ends.pieces++
	return may
}

// mayTake says whether a turn that has taken so many steps of a kind takes one more.
func (l *Loop) mayTake(steps int) bool {
	return steps < l.broker.endsTurn || simfaultBuild && strikes(simEndlessEnd)
}

// endSome goes on with what ends in pieces.
func (l *Loop) endSome() {
	l.endSubscriptions()
	for l.pieces.len() > 0 && (*l.pieces.first())() {
		l.pieces.pop()
	}
}

// fireTimers fires those that are due.
func (l *Loop) fireTimers() {
	l.firing = false
	l.fires = !l.wheel.Advance(l.time.Ms, l.goesOn)
}

// mayFire says whether one more timer may be fired in this turn. It is asked after each.
func (l *Loop) mayFire() bool {
	if !l.firing {
		l.firing = true
		l.measure(l.driver.Now().Ns, quantum/2)
	}
	l.spend(timerWork)
	return !l.spent
}

// closeSome carries out closes that were decided.
func (l *Loop) closeSome() {
	for l.closesMore() {
		l.ends.closes++
		l.guard(nil, l.closing.pop().finishClose)
	}
}

// closesMore says that this turn carries out more closes.
func (l *Loop) closesMore() bool { return l.closing.len() > 0 && l.mayClose() }

// closesLater says that what is to be closed waits for its turn.
func (l *Loop) closesLater() bool { return l.closing.len() > 0 || !l.mayClose() }

// mayClose says whether this turn carries out one more close, whoever decided it.
func (l *Loop) mayClose() bool { return l.mayTake(l.ends.closes * closeSteps) }

// resumesMore says that this turn ends more pauses.
func (l *Loop) resumesMore() bool {
	return l.resuming.len() > 0 && l.mayTake(l.ends.resumes)
}
