package broker

import (
	"math"
	"testing"
	"time"

	"mbserver/server/metrics"
)

// timesOf is how many times of a kind the node has measured, and their sum in ns.
func (n *testNode) timesOf(kind int) (count uint64, sum int64) {
	s := n.Sample(time.Now())
	for _, c := range s.Times[kind].Counts {
		count += c
	}
	return count, int64(math.Round(s.Times[kind].Sum * 1e9))
}

func (n *testNode) wantTimes(t *testing.T, what string, kind int, count uint64, ms int64) {
	t.Helper()
	if c, sum := n.timesOf(kind); c != count || sum != ms*int64(time.Millisecond) {
		t.Errorf("%s: %d times, %d ns; want %d, %d ms", what, c, sum, count, ms)
	}
}

// A publish is timed on each loop with subscribers, from the turn in which it came in to the end of
// the writes there; a request from that turn to the answer's, whatever loops are between. What came
// to nothing is not timed.
func TestTimes(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	n.pass(1) // 0 is no time
	service := n.subscribers(1, 0, TransportTCP, "request", "a.b")[0]
	k := n.connect(1, TransportWS)
	n.settle()
	k.send("publish:a.b:1.0.0\nx") // nobody subscribes to it
	k.send("request:a.nobody:1.0.0:" + testRequestID + "\nx")
	n.settle()
	n.wantTimes(t, "nobody", metrics.FlushTime, 0, 0)
	n.wantTimes(t, "nobody", metrics.AnswerTime, 0, 0)

	n.subscribers(3, 0, TransportTCP, "publish", "a.b")
	n.subscribers(3, 1, TransportWS, "publish", "a.b")
	n.settle()
	k.send("publish:a.b:1.0.0\nx")
	k.send("publish:a.b:1.0.0\nx")
	n.run(1) // writes to its own, and hands over
	n.wantTimes(t, "its own loop", metrics.FlushTime, 2, 0)
	n.ms, n.ns = n.ms+7, n.ns+7*int64(time.Millisecond)
	n.settle()
	n.wantTimes(t, "both loops", metrics.FlushTime, 4, 2*7)

	k.send("request:a.b:1.0.0:" + testRequestID + "\nx")
	n.settle()
	n.pass(30)
	answer := appendAnswer(nil, service.openEntry())
	service.arrive(answer)
	n.settle()
	n.wantTimes(t, "the answer", metrics.AnswerTime, 1, 30)
}

// The longest turns are seen as such: a turn lasts from its first look at the clock to its last.
func TestTurnTime(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	n.subscribers(1000, 0, TransportTCP, "publish", "a.b")
	k := n.connect(0, TransportTCP)
	n.settle()
	before, sumBefore := n.timesOf(metrics.TurnTime)
	n.tick = 1000
	k.send("publish:a.b:1.0.0\nx")
	n.settle()
	count, sum := n.timesOf(metrics.TurnTime)
	if count == before || sum-sumBefore < 1000 {
		t.Errorf("%d turns of %d ns", count-before, sum-sumBefore)
	}
}

// However much is answered or published before it is written, what is kept of it is bounded, and
// nothing is lost.
func TestTimesAreBounded(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	l := n.loops[0]
	l.begin()
	const many = 3 * answersMost
	for i := range many {
		l.noteAnswer(&entry{packed: packed{trip: trip{arrived: l.time.Ms}}}, nil)
		l.noteFanOut(l.time.Ns - int64(i))
	}
	if len(l.answers) > answersMost || len(l.fanned) > fannedMost {
		t.Errorf("%d answers and %d turns are kept", len(l.answers), len(l.fanned))
	}
	n.settle()
	for _, kind := range []int{metrics.AnswerTime, metrics.FlushTime} {
		if count, _ := n.timesOf(kind); count != many {
			t.Errorf("%d of %d were counted", count, many)
		}
	}
}
