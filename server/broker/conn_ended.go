package broker

import (
	"math"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/event"
	"mbserver/server/metrics"
)

// Connections whose peer has ended its stream (protocol §6).
//
// Purpose. Who sends what it has and ends its stream, as a script does, still gets the answers.
//
// Outline. The end of the stream takes the connection out of the node (leave): nothing is for it
// any more but answers to what it asked before, and what its ring holds. Each connection counts the
// answers that it is owed (unanswered): owe when the node takes what asks for one that does not
// come at once, settle when that comes, or never will (forgive). When the last one is written the
// connection is closed, or after lingerTime. A requester that has left is looked for with askerOf,
// anybody else with connOf.
//
// Invariants. Nothing but answers is sent to a connection that has ended. One that is owed nothing
// is closed at once.

// owe counts an answer that c is owed. A count that came to its end stays there: such a connection
// is closed only after lingerTime.
func (c *Conn) owe() {
	if c.unanswered < math.MaxUint16 {
		c.unanswered++
	}
}

// settle counts an answer that c was owed and has been given.
func (c *Conn) settle() {
	if c.unanswered > 0 && c.unanswered < math.MaxUint16 {
		c.unanswered--
	}
}

// forgive counts an answer that a connection that has ended was owed and will not be given.
func (l *Loop) forgive(s *service) {
	if c := l.askerOf(s); c != nil {
		if c.settle(); c.unanswered == 0 {
			c.queueAnswer() // writes nothing, and closes it
		}
	}
}

// askerOf returns the connection of s, which must belong to this loop, if it takes answers; else
// nil.
func (l *Loop) askerOf(s *service) *Conn {
	if c := l.conns[s.slot]; c != nil && c.gen == s.gen && c.takesAnswers() {
		return c
	}
	return nil
}

// takesAnswers says whether answers may be sent to c.
func (c *Conn) takesAnswers() bool {
	return c.state == stateOpen || c.state == stateEnded && c.unanswered > 0 && !c.aborted
}

// answerKind is what an answer is to who asked.
type answerKind uint8

const (
	answerFailure answerKind = 1 << iota // an error, which counts against it
	answerOwed                           // it is owed: to what had an ID
	answerTimeout                        // of errors, one that has a counter of its own
)

// giveAnswer delivers an answer to a request to c, which takes it.
func (l *Loop) giveAnswer(c *Conn, header, payload []byte, text bool, kind answerKind) {
	if kind&answerFailure != 0 {
		c.errors.Add(l.time.sec())
		c.comes(event.Refused, event.CodeOf(codec.CodeIn(payload)), "its request failed")
		l.counts[metrics.MessageErrors]++
		if kind&answerTimeout == 0 {
			l.counts[metrics.RequestErrors]++
		}
	}
	l.sendAnyhow(c, header, payload, text, ringbuf.Own)
	if kind&answerOwed != 0 {
		c.settle()
	}
}

// peerEnded takes that c's peer has ended its stream, and says whether c stays for a while.
func (c *Conn) peerEnded() (stays bool) {
	switch c.state {
	case stateOpen:
		c.tellOldest()
		c.tellGap(true)
	case stateEnded:
		return true
	default:
		c.unanswered = 0 // it has said goodbye, or been told so
	}
	c.leave()
	if c.out.Empty() && c.unanswered == 0 {
		return false
	}
	if c.state != stateLinger { // there the timer runs
		c.linger()
	}
	c.state = stateEnded
	c.queueAnswer()
	return true
}
