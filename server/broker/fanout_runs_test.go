package broker

import "testing"

// Many subscribers that take every other message note each of them apart: the turn ends and writes
// them before those notes are many, however few bytes were encoded.
func TestTurnWritesManyRunsEarly(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	const crowd, rounds = 3000, 200
	subscribers := n.subscribers(crowd, 0, TransportTCP, "publish", "a.b")
	n.subscribers(1, 0, TransportTCP, "publish", "a.c")
	publisher := n.connect(0, TransportTCP)
	n.settle()
	first, last := subscribers[0], subscribers[crowd-1]
	first.messages()
	last.messages()
	var burst []byte
	for range rounds {
		burst = append(burst, publisher.frame([]byte("publish:a.b:1.0.0\n1"), false)...)
		burst = append(burst, publisher.frame([]byte("publish:a.c:1.0.0\n1"), false)...)
	}
	publisher.arrive(burst)
	gathered := n.loops[0].turn.Len()
	n.run(0)
	early := len(first.messages())
	if early == 0 || early == rounds || gathered > turnMax+crowd {
		t.Errorf("%d of %d written by the turn, %d gathered", early, rounds, gathered)
	}
	n.settle()
	if late := len(first.messages()); early+late != rounds || len(last.messages()) != rounds {
		t.Errorf("%d and %d of %d came", early, late, rounds)
	}
}
