package broker

// The loop's clocks.
//
// Purpose. A client that is silent for too long is closed; but only the client's silence counts,
// not the node's. While the process is stopped (SIGSTOP, a paused container or machine), or a turn
// takes long, nobody is heard, whatever they say.
//
// Outline. A loop always knows when it will be called at the latest: its alarm is set for its
// wheel's next timer, and every open connection has one there. A turn that comes long after the
// alarm (absenceMin) tells that the loop was away since then. The clock by which silence is
// measured (listened) leaves that time out, and stands still for some more (graceMax), in which
// what has come meanwhile is read. While a connection has been asked for a sign of life its timer
// is due several times before the end (listenTicks), so an absence shows that begins in between.
//
// Invariants. What is left of a connection's time only shrinks while the loop runs: an absence
// that is not seen is shorter than the time to the next timer.
//
// Cost. A comparison for each turn. An idle node has no turns.
const (
	// absenceMin is how late, in ms, a turn may be before the loop counts as having been away. A
	// busy machine is late by less.
	absenceMin = 100

	// graceMax bounds, in ms, the time that a loop grants on top of an absence, as long as that
	// was: everybody's bytes of the whole time wait to be read.
	graceMax = 1000

	// listenTicks is how many times the loop looks in while an answer to its heartbeat is due.
	listenTicks = 4
)

// silence is how far the clock of silence is behind the loop's time. Loop only.
type silence struct {
	absent int64 // ms by which it is
	grace  int64 // ms for which it stands still from here on
}

// readClock begins a turn's time.
func (l *Loop) readClock() {
	before := l.time.Ms
	l.time = l.driver.Now()
	late := int64(0)
	if l.armed != 0 && l.armed <= l.time.Ms {
		late = l.time.Ms - l.armed
		l.armed = 0 // it has rung, or will without need
	}
	if late < absenceMin || simfaultBuild && strikes(simCountedAbsence) {
		late = 0
	}
	l.silence.pass(l.time.Ms-before, late)
}

// pass lets ms go by, in the last late of which the loop was away.
func (s *silence) pass(ms, late int64) {
	granted := min(ms-late, s.grace)
	s.absent += late + granted
	s.grace = max(s.grace-granted, min(late, graceMax))
}

// listened is the loop's time, in ms, without what it was away: the clock of silence.
func (l *Loop) listened() int64 { return l.time.Ms - l.absent }
