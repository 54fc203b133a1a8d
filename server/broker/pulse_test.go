package broker

import (
	"testing"
	"time"
)

// A loop is pressed while its turns are slow, and not for what was long ago.
func TestPressed(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	const ms = int64(time.Millisecond)
	p := &n.loops[1].pulse
	n.advance(1000)
	now := n.loops[0].driver.Now().Ns
	for _, tt := range []struct {
		what        string
		began, took int64 // ms ago, ms
		runs, want  bool
	}{
		{"a quick turn that has ended", 5, 5, false, false},
		{"a turn that runs for a moment", 19, 0, true, false},
		{"one that runs for long", 25, 0, true, true},
		{"a slow one that has just ended", 40, 35, false, true},
		{"a quick one after it", 6, 5, false, false},
		{"a slow one, and nothing since", 100, 60, false, false},
	} {
		p.begin(now - tt.began*ms)
		if !tt.runs {
			p.end(now-tt.began*ms, now-(tt.began-tt.took)*ms, false)
		}
		if n.Pressed() != tt.want {
			t.Errorf("%s: %v", tt.what, !tt.want)
		}
	}
}

// A loop is busy after a turn that has left work over, until one has not.
func TestBusy(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	for _, busy := range []bool{false, true, true, false} {
		n.loops[1].writing = busy
		n.loops[1].noteTimes(n.loops[1].time.Ns, n.loops[1].GivesWay())
		if n.Busy() != busy {
			t.Errorf("busy: %v", !busy)
		}
	}
}

// A loop is alive while it does what it is asked for, however long nobody has asked.
func TestLive(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	check := func(what string, want bool) {
		t.Helper()
		if alive, word := n.Live(); alive != want || word != map[bool]string{
			true: "ok", false: "stuck"}[want] {
			t.Errorf("%s: %v %q", what, alive, word)
		}
	}
	check("nothing was asked of them", true)
	n.advance(stuckTime/int64(time.Millisecond) + 1)
	check("one has not answered for 5 s", false)
	for i := range n.loops {
		n.run(i)
	}
	check("they have", true)
	for i := range n.loops {
		n.run(i)
	}
	n.advance(10 * stuckTime / int64(time.Millisecond))
	check("they were idle for long", true)
	for i := range n.loops {
		n.run(i)
	}
	l := n.loops[1]
	l.begin()
	n.advance(stuckTime/int64(time.Millisecond) + 1)
	check("a turn does not end", false)
	n.run(1)
	n.run(0)
	check("it has", true)
}

// A turn that a fault has ended is over.
func TestPulseAfterFault(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	l := n.loops[0]
	l.wheel = nil
	l.begin()
	l.Run()
	if began := l.pulse.began.Load(); began != 0 || len(n.faults) == 0 {
		t.Errorf("a turn runs since %d; faults: %v", began, n.faults)
	}
}

// A node over its memory budget is not ready, and says so.
func TestReadyWithinMemory(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	if ready, word := n.Ready(); !ready || word != "ok" {
		t.Errorf("%v %q", ready, word)
	}
	n.Arriving.Store(n.budget.full + 1)
	if ready, word := n.Ready(); ready || word != "memory" {
		t.Errorf("%v %q", ready, word)
	}
	if load := n.Load(); load.Memory <= 1 || load.Loops != len(n.loops) {
		t.Errorf("%+v", load)
	}
	n.Arriving.Store(0)
}
