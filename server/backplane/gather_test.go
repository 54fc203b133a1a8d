package backplane

import (
	"fmt"
	"log/slog"
	"testing"
	"time"
)

// toldBus counts frames of changes, and the changes in them, and those that ask for something.
type toldBus struct{ frames, changes, asks int }

func (b *toldBus) Send(_ int, _ string, frame []byte) error {
	k, fields, err := open(frame)
	if err == nil && (k == kindAsk || k == kindRepair) {
		b.asks++
	}
	if err == nil && k == kindDelta {
		var d delta
		if err := d.parse(fields); err != nil {
			return err
		}
		b.frames++
		b.changes += len(d.changes)
	}
	return nil
}

func (*toldBus) Listen([]string, func(string, []byte)) error { return nil }
func (*toldBus) Close()                                      {}

// teller is a plane whose clock stands until it is moved, and what it has told.
func teller(t *testing.T) (p *Plane, now *time.Duration, told *toldBus) {
	t.Helper()
	now, told = new(time.Duration), &toldBus{}
	*now = time.Hour
	p, err := newPlane(Options{
		Cluster: "c", Node: "n", Heartbeat: time.Hour, OutboundBytes: 1 << 20, InterestMax: 1 << 20,
		Log: slog.New(slog.DiscardHandler), Incarnation: 1,
		Now: func() time.Duration { return *now },
	}, &fakeBroker{}, told)
	if err != nil {
		t.Fatal(err)
	}
	return p, now, told
}

// pass lets a plane do what it does between two changes, until a time.
func pass(p *Plane, now *time.Duration, until time.Duration) {
	for {
		select {
		case <-p.wake:
			p.flush()
		default:
		}
		next := p.keepTime()
		for sent := true; sent; {
			sent, _ = p.ctl.step()
		}
		if next >= until {
			*now = until
			return
		}
		*now = next
	}
}

// However fast patterns come and go, others are not woken more than every few milliseconds, the
// more rarely the more there are, and hear of every change at once or soon.
func TestChangesAreGathered(t *testing.T) {
	for _, each := range []time.Duration{10 * time.Microsecond, 100 * time.Microsecond,
		time.Millisecond, 2 * time.Millisecond} {
		p, now, told := teller(t)
		pass(p, now, *now)
		began, changes := *now, 0
		for ; *now-began < time.Second; changes++ {
			p.Subscribed(fmt.Sprintf("a.b%d", changes))
			pass(p, now, *now+each)
		}
		pass(p, now, *now+gatherMost)
		most := int(time.Second/gatherMost) + 4 + changes/1000 // that is as many as a frame has
		if each >= gatherOne {
			most = changes // each is told by itself
		}
		if told.changes != changes || told.frames > most {
			t.Errorf("every %v: %d frames with %d of %d changes, want at most %d frames",
				each, told.frames, told.changes, changes, most)
		}
	}
}

// A change after some rest leaves at once, and what is gathered waits for no other.
func TestChangesLeave(t *testing.T) {
	p, now, told := teller(t)
	pass(p, now, *now)
	want := func(changes int) {
		t.Helper()
		if told.changes != changes {
			t.Fatalf("told of %d changes, want %d", told.changes, changes)
		}
	}
	p.Subscribed("a")
	pass(p, now, *now)
	want(1)
	p.Subscribed("b")
	p.Unsubscribed("a")
	pass(p, now, *now+gatherOne-1)
	want(1)
	pass(p, now, *now+1)
	pass(p, now, *now)
	want(3)
	p.Subscribed("c")
	pass(p, now, *now+gatherMany-1)
	want(3)
	pass(p, now, *now+1)
	pass(p, now, *now)
	want(4)
	pass(p, now, *now+gatherOne)
	p.Subscribed("d")
	pass(p, now, *now)
	want(5)
}
