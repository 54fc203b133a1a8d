package wheel

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// probe is a timer with the time the model expects it at.
type probe struct {
	Timer
	at    int64 // the time it counts as having; noTime when not armed
	round int   // the Advance it was armed in, or 0 when outside
	late  bool  // it was due when it was armed
}

const noTime = math.MinInt64

// bench drives a wheel and a list of its timers side by side.
type bench struct {
	t      *rapid.T
	wheel  *Wheel
	now    int64
	last   int64 // time of the last expiry of this Advance
	round  int
	inside bool
	done   bool // so was the last Advance
	probes []*probe
	react  func(p *probe)
}

func (b *bench) add(p *probe, at int64) {
	b.wheel.Add(&p.Timer, at)
	p.at, p.round, p.late = max(at, b.now), 0, at <= b.now
	if b.inside {
		p.round = b.round
	}
}

func (b *bench) cancel(p *probe) {
	armed := p.at != noTime
	if p.Armed() != armed || b.wheel.Cancel(&p.Timer) != armed || p.Armed() {
		b.t.Fatalf("Cancel: armed %v", armed)
	}
	p.at = noTime
}

func (b *bench) Expire(t *Timer, now int64) {
	for _, p := range b.probes {
		if &p.Timer != t {
			continue
		}
		switch {
		case p.at == noTime || t.Armed():
			b.t.Fatalf("a timer that was not armed expired, or is still")
		case p.at > now || now != b.now:
			b.t.Fatalf("expired at %d, due %d, the time is %d", now, p.at, b.now)
		case p.at < b.last && !p.late:
			b.t.Fatalf("%d expired after %d", p.at, b.last)
		case p.round == b.round:
			b.t.Fatalf("a timer expired in the Advance it was added in")
		}
		if !p.late {
			b.last = p.at
		}
		p.at = noTime
		b.react(p)
		return
	}
	b.t.Fatalf("an unknown timer expired")
}

// advance brings the wheel there in one Advance, which may take so many steps.
func (b *bench) advance(to int64, steps int) {
	resumes := !b.done
	b.now, b.last, b.inside = max(b.now, to), noTime, true
	b.round++
	b.done = b.wheel.Advance(to, func() bool {
		if steps--; steps < 0 {
			b.t.Fatalf("a step was taken after it was to end")
		}
		return steps > 0
	})
	if b.inside = false; !b.done {
		if steps > 0 {
			b.t.Fatalf("%d steps too early it was not done", steps)
		}
		return
	}
	for _, p := range b.probes {
		mayWait := p.round == b.round || p.late && resumes
		if p.at != noTime && p.at <= b.now && !mayWait {
			b.t.Fatalf("not expired: due %d, now %d", p.at, b.now)
		}
	}
}

func (b *bench) check() {
	earliest, count := int64(math.MaxInt64), 0
	for _, p := range b.probes {
		if p.Armed() != (p.at != noTime) {
			b.t.Fatalf("armed %v, due %d", p.Armed(), p.at)
		}
		if p.at != noTime {
			count++
			earliest = min(earliest, max(p.at, b.now))
		}
	}
	at, ok := b.wheel.Next()
	switch {
	case b.wheel.Len() != count || ok != (count > 0):
		b.t.Fatalf("Len %d, Next %v, want %d", b.wheel.Len(), ok, count)
	case ok && (at > earliest || at < b.now):
		b.t.Fatalf("Next %d, earliest %d, now %d", at, earliest, b.now)
	case !b.done: // something was due, and may have been cancelled since
	case ok && earliest>>baseBits == b.now>>baseBits && at != earliest:
		b.t.Fatalf("Next %d is not exact, earliest %d, now %d", at, earliest, b.now)
	}
}

func TestWheelAgainstList(t *testing.T) {
	gap := rapid.Custom(func(t *rapid.T) int64 {
		return rapid.Int64Range(-10, 1<<rapid.IntRange(0, 40).Draw(t, "bits")).Draw(t, "gap")
	})
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int64Range(-1<<41, 1<<41).Draw(t, "start")
		b := &bench{t: t, wheel: New(start), now: start, done: true}
		for range 12 {
			p := &probe{at: noTime}
			p.Owner = b
			b.probes = append(b.probes, p)
		}
		pick := rapid.SampledFrom(b.probes)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		b.react = func(p *probe) {
			other := b.probes[random.IntN(len(b.probes))]
			switch random.IntN(6) {
			case 0:
				b.add(p, b.now+random.Int64N(600)-100)
			case 1:
				b.add(other, b.now+random.Int64N(600)-100)
			case 2:
				b.cancel(other)
			case 3:
				b.add(other, b.now+random.Int64N(1<<40))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) { b.add(pick.Draw(t, "timer"), b.now+gap.Draw(t, "in")) },
			"same": func(t *rapid.T) {
				b.add(pick.Draw(t, "timer"), max(b.now, pick.Draw(t, "as").at))
			},
			"cancel":  func(t *rapid.T) { b.cancel(pick.Draw(t, "timer")) },
			"advance": func(t *rapid.T) { b.advance(b.now+gap.Draw(t, "by"), math.MaxInt) },
			"some": func(t *rapid.T) {
				b.advance(b.now+gap.Draw(t, "by"), rapid.IntRange(1, 8).Draw(t, "steps"))
			},
			"go on": func(t *rapid.T) { b.advance(b.now, rapid.IntRange(1, 8).Draw(t, "steps")) },
			"next": func(t *rapid.T) {
				if at, ok := b.wheel.Next(); ok {
					b.advance(at, math.MaxInt)
				}
			},
			"": func(*rapid.T) { b.check() },
		})
	})
}

// expiries counts them.
type expiries struct {
	count  int
	expire func(t *Timer, now int64)
}

func (y *expiries) Expire(t *Timer, now int64) {
	y.count++
	if y.expire != nil {
		y.expire(t, now)
	}
}

func always() bool { return true }

// TestFollowNext reaches every timer by calling Advance at the times Next names, as an idle loop
// does, in few calls.
func TestFollowNext(t *testing.T) {
	for _, delay := range []int64{
		0, 1, 255, 256, 257, 1 << 14, 1<<20 + 3, 1<<26 - 1, 1 << 32, 1<<33 + 5, 1<<40 + 12345,
	} {
		w, now := New(1_700_000_000_123), int64(1_700_000_000_123)
		var at int64
		y := &expiries{expire: func(_ *Timer, now int64) { at = now }}
		timer := Timer{Owner: y}
		w.Add(&timer, now+delay)
		calls := 0
		for w.Len() > 0 {
			next, ok := w.Next()
			if calls++; !ok || calls > 300 {
				t.Fatalf("in %d ms: not expired after %d calls", delay, calls)
			}
			w.Advance(next, always)
		}
		if y.count != 1 || at != now+delay {
			t.Errorf("in %d ms: expired %d times, at +%d", delay, y.count, at-now)
		}
	}
}

// TestPastTimer: a time that has passed fires once on the next Advance,
// also when Expire adds it again.
func TestPastTimer(t *testing.T) {
	w := New(1000)
	y := &expiries{}
	y.expire = func(timer *Timer, now int64) { w.Add(timer, now-500) }
	timer := Timer{Owner: y}
	w.Add(&timer, 10)
	for i := range 5 {
		if at, ok := w.Next(); !ok || at != 1000 || y.count != i {
			t.Fatalf("Next %d, %v after %d expiries, want 1000 and %d", at, ok, y.count, i)
		}
		w.Advance(900, always) // the clock went back
	}
}

// TestCancelInSameTick: of two timers due together the first cancels the second.
func TestCancelInSameTick(t *testing.T) {
	w := New(0)
	var a, b Timer
	y := &expiries{expire: func(timer *Timer, _ int64) {
		if timer == &a && !w.Cancel(&b) || timer == &b && !w.Cancel(&a) {
			t.Error("the other one was not armed")
		}
	}}
	a.Owner, b.Owner = y, y
	w.Add(&a, 70_000)
	w.Add(&b, 70_000)
	w.Advance(1<<40, always)
	if y.count != 1 || w.Len() != 0 {
		t.Errorf("%d expired, %d armed", y.count, w.Len())
	}
}

// TestAdvanceInPieces holds how many steps an Advance takes of very many timers that are due, and
// that none is lost: on their way down the levels, and beyond the last of these.
func TestAdvanceInPieces(t *testing.T) {
	for _, at := range []int64{100, 1<<20 + 1<<14 + 1<<8 + 1, 1<<32 + 1<<20 + 3} {
		w, y := New(99), &expiries{}
		timers := make([]Timer, 1000)
		for i := range timers {
			timers[i].Owner = y
			w.Add(&timers[i], at)
		}
		w.Cancel(&timers[500])
		for calls, more := 0, true; more; calls++ {
			fired, steps := y.count, 0
			more = !w.Advance(at, func() bool {
				steps++
				return steps < 10
			})
			if steps > 10 || y.count-fired > 10 || more && steps < 10 {
				t.Fatalf("at %d: call %d took %d steps and fired %d", at, calls,
					steps, y.count-fired)
			}
			if next, ok := w.Next(); more && (!ok || next != at) {
				t.Fatalf("at %d: next is %d, %v", at, next, ok)
			}
			if calls > (levels+1)*len(timers)/10 {
				t.Fatalf("at %d: not done after %d calls", at, calls)
			}
		}
		if y.count != len(timers)-1 || w.Len() != 0 {
			t.Errorf("at %d: %d fired, %d are left", at, y.count, w.Len())
		}
	}
}

func TestAllocations(t *testing.T) {
	w, now := New(0), int64(0)
	timers := make([]Timer, 100)
	y := &expiries{}
	for i := range timers {
		timers[i].Owner = y
	}
	if n := testing.AllocsPerRun(100, func() {
		for i := range timers {
			w.Add(&timers[i], now+int64(i*i*i))
		}
		for i := 0; i < len(timers); i += 3 {
			w.Cancel(&timers[i])
		}
		now += 500_000
		w.Advance(now, always)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if y.count == 0 {
		t.Error("nothing expired")
	}
}

func BenchmarkWheel(b *testing.B) {
	b.Run("AddCancel", func(b *testing.B) {
		w, timer := New(0), Timer{}
		b.ReportAllocs()
		for i := int64(0); b.Loop(); i++ {
			w.Add(&timer, 5000+i&1023)
			w.Cancel(&timer)
		}
	})
	b.Run("Move", func(b *testing.B) {
		// One of many timers is put off, as a heartbeat's is with every message.
		w, timers := New(0), make([]Timer, 10_000)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			w.Add(&timers[i%len(timers)], int64(30_000+i&0xffff))
		}
	})
	b.Run("Expire", func(b *testing.B) {
		// Each timer is cascaded and fires; a loop with 10,000 of them.
		w, now := New(0), int64(0)
		timers := make([]Timer, 10_000)
		y := &expiries{}
		y.expire = func(timer *Timer, now int64) { w.Add(timer, now+5000) }
		for i := range timers {
			timers[i].Owner = y
			w.Add(&timers[i], int64(i)/2)
		}
		b.ReportAllocs()
		for b.Loop() {
			for target := y.count + 1; y.count < target; {
				now++
				w.Advance(now, always)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(y.count), "ns/expiry")
	})
	b.Run("IdleHour", func(b *testing.B) {
		w, now := New(0), int64(0)
		timer := Timer{Owner: &expiries{}}
		b.ReportAllocs()
		for b.Loop() {
			now += 3_600_000
			w.Add(&timer, now)
			w.Advance(now, always)
		}
	})
}
