package limit

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// model is a token bucket in exact rational arithmetic.
type model struct {
	rate   int64 // messages per second and burst
	tokens *big.Rat
	at     int64 // ms
}

func newModel(rate int) *model {
	return &model{rate: int64(rate), tokens: big.NewRat(int64(rate), 1)}
}

func (m *model) refill(nowMs int64) {
	passed := big.NewRat(nowMs-m.at, 1000)
	m.tokens.Add(m.tokens, passed.Mul(passed, big.NewRat(m.rate, 1)))
	if m.full() {
		m.tokens.SetInt64(m.rate)
	}
	m.at = nowMs
}

func (m *model) full() bool { return m.tokens.Cmp(big.NewRat(m.rate, 1)) >= 0 }

// check returns the wait and whether a message may pass.
func (m *model) check(nowMs int64) (int64, bool) {
	m.refill(nowMs)
	missing := new(big.Rat).Sub(big.NewRat(1, 1), m.tokens)
	if missing.Sign() <= 0 {
		return 0, true
	}
	ms := missing.Mul(missing, big.NewRat(1000, m.rate))
	up := new(big.Int).Add(ms.Num(), ms.Denom())
	return up.Sub(up, big.NewInt(1)).Div(up, ms.Denom()).Int64(), false
}

func (m *model) take(nowMs int64) (int64, bool) {
	wait, ok := m.check(nowMs)
	if ok {
		m.tokens.Sub(m.tokens, big.NewRat(1, 1))
	}
	return wait, ok
}

func (m *model) give() { m.tokens.Add(m.tokens, big.NewRat(1, 1)) }

// rates draws rates small and large, with and without a factor in common with 1000.
func rates() *rapid.Generator[int] {
	return rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, 3000), rapid.IntRange(1, exactMax),
		rapid.SampledFrom([]int{1, 7, 999, 1000, 1001, 8192, 9_999_991, exactMax, rateMax}))
}

// gaps draws the milliseconds between two steps.
func gaps() *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 3),
		rapid.Int64Range(0, 1500), rapid.Int64Range(0, 1<<32))
}

// drained moves all three near empty without taking burst by burst:
// it leaves left messages at nowMs.
func drained(m *model, l *Local, b *Bucket, r Rate, left int, nowMs int64) {
	m.refill(nowMs)
	m.tokens.SetInt64(int64(left))
	l.due = (nowMs+burstMs)*r.perMs - int64(left)*r.message
	b.due.Store(l.due)
}

func TestBucketsAgreeWithExactArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rates().Draw(t, "rate")
		r := PerSecond(n)
		m, l, b := newModel(n), new(Local), new(Bucket)
		now := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1<<38)).Draw(t, "start")
		m.at = now // a zero bucket is full whenever it is first used
		for step := range rapid.IntRange(1, 120).Draw(t, "steps") {
			now += gaps().Draw(t, "gap")
			if rapid.IntRange(0, 9).Draw(t, "drain") == 0 {
				drained(m, l, b, r, rapid.IntRange(0, min(n, 5)).Draw(t, "left"), now)
			}
			want, wantOK := m.check(now)
			if wait, ok := l.Check(r, now); wait != want || ok != wantOK {
				t.Fatalf("step %d: Local.Check at %d: %d %v, want %d %v",
					step, now, wait, ok, want, wantOK)
			}
			if wait, ok := b.Check(r, now); wait != want || ok != wantOK {
				t.Fatalf("step %d: Bucket.Check at %d: %d %v, want %d %v",
					step, now, wait, ok, want, wantOK)
			}
			if l.Full(r, now) != m.full() || b.Full(r, now) != m.full() {
				t.Fatalf("step %d: Full at %d: %v %v, want %v",
					step, now, l.Full(r, now), b.Full(r, now), m.full())
			}
			if rapid.Bool().Draw(t, "give") {
				if _, ok := b.Take(r, now); ok != wantOK {
					t.Fatalf("step %d: Take before Give at %d: %v, want %v", step, now, ok, wantOK)
				} else if ok {
					b.Give(r)
				}
			}
			m.take(now)
			if wait, ok := l.Take(r, now); wait != want || ok != wantOK {
				t.Fatalf("step %d: Local.Take at %d: %d %v, want %d %v",
					step, now, wait, ok, want, wantOK)
			}
			if wait, ok := b.Take(r, now); wait != want || ok != wantOK {
				t.Fatalf("step %d: Bucket.Take at %d: %d %v, want %d %v",
					step, now, wait, ok, want, wantOK)
			}
			if !wantOK && want < 1 {
				t.Fatalf("step %d: a wait of %d", step, want)
			}
		}
	})
}

// TestGiveUndoesTake takes several at once and gives some back: what is left is as if those had
// never been taken.
func TestGiveUndoesTake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rates().Draw(t, "rate")
		r := PerSecond(n)
		m, b := newModel(n), new(Bucket)
		var now int64
		for range rapid.IntRange(1, 40).Draw(t, "turns") {
			now += gaps().Draw(t, "gap")
			m.refill(now)
			taken := 0
			for range rapid.IntRange(0, 6).Draw(t, "takes") {
				_, want := m.take(now)
				if _, ok := b.Take(r, now); ok != want {
					t.Fatalf("Take at %d: %v, want %v", now, ok, want)
				} else if ok {
					taken++
				}
			}
			for range rapid.IntRange(0, taken).Draw(t, "gives") {
				m.give()
				b.Give(r)
			}
			if b.Full(r, now) != m.full() {
				t.Fatalf("Full at %d: %v, want %v", now, b.Full(r, now), m.full())
			}
		}
	})
}

// TestLaggingClockNeverGains lets the clock jump back between takes: never more pass than by the
// clock that leads.
func TestLaggingClockNeverGains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 50).Draw(t, "rate")
		r, b := PerSecond(n), new(Bucket)
		var lead, passed int64
		for range rapid.IntRange(1, 300).Draw(t, "takes") {
			lead += rapid.Int64Range(0, 30).Draw(t, "gap")
			if _, ok := b.Take(r, max(0, lead-rapid.Int64Range(0, 100).Draw(t, "lag"))); ok {
				passed++
			}
			if most := int64(n) + int64(n)*lead/1000; passed > most {
				t.Fatalf("%d passed in %d ms, at most %d may", passed, lead, most)
			}
		}
	})
}

// TestRoomAndPay holds what is asked and paid for many messages at once to as many single ones.
func TestRoomAndPay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := PerSecond(rates().Draw(rt, "rate"))
		var one, many Local
		var shared Bucket
		topics := NewTopics(r, 4)
		var cached *Bucket
		name := []byte("a.b")
		if _, ok := topics.Take(&cached, name, 0); !ok {
			rt.Fatal("the first message has to wait")
		}
		for _, l := range []*Local{&one, &many} {
			l.Take(r, 0)
		}
		shared.Take(r, 0)
		now := int64(0)
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			now += rapid.Int64Range(0, 400).Draw(rt, "ms")
			room := many.Room(r, now)
			if shared.Room(r, now) != room || topics.Room(&cached, now) != room {
				rt.Fatalf("room for %d, %d and %d",
					room, shared.Room(r, now), topics.Room(&cached, now))
			}
			n := min(room, rapid.Int64Range(0, 100).Draw(rt, "messages"))
			for range n {
				if _, ok := one.Take(r, now); !ok {
					rt.Fatalf("one of %d has to wait, there was room for %d", n, room)
				}
			}
			many.Pay(r, now, n)
			if !shared.Pay(r, now, n) {
				rt.Fatal("a bucket of no Topics is gone")
			}
			topics.Pay(&cached, name, now, n)
			if n > 0 &&
				(many != one || shared.due.Load() != one.due || cached.due.Load() != one.due) {
				rt.Fatalf("after %d at %d ms: %d alone, %d, %d and %d together",
					n, now, one.due, many.due, shared.due.Load(), cached.due.Load())
			}
			if n == room {
				if _, ok := one.Check(r, now); ok {
					rt.Fatalf("one more than the room for %d passes", room)
				}
			}
		}
		if many.Pay(r, now, many.Room(r, now)+5); many.Room(r, now) != 0 {
			rt.Fatal("there is room after more than there was")
		}
		if _, ok := many.Check(r, now); ok {
			rt.Fatal("one passes after more than there was room for")
		}
	})
}

// TestPayGone pays a bucket that the table has forgotten.
func TestPayGone(t *testing.T) {
	r := PerSecond(10)
	topics := NewTopics(r, 2)
	var cached *Bucket
	name := []byte("a")
	topics.Take(&cached, name, 0)
	if !cached.forget(r, 5000) || topics.Room(&cached, 5000) != 0 || cached.Pay(r, 5000, 1) {
		t.Fatal("a forgotten bucket has room, or can be paid")
	}
	delete(topics.buckets, "a")
	topics.order = nil
	topics.Pay(&cached, name, 5000, 3)
	if got := topics.Room(&cached, 5000); got != 7 {
		t.Errorf("room for %d of 10 after 3", got)
	}
}
