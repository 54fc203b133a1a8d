package backplane

import (
	"runtime"
	"testing"
	"time"
)

// stuckBus takes nothing until it is let go.
type stuckBus struct{ free chan struct{} }

func (b *stuckBus) Send(int, string, []byte) error              { <-b.free; return nil }
func (b *stuckBus) Listen([]string, func(string, []byte)) error { return nil }
func (b *stuckBus) Close()                                      {}

// What waits for a bus that takes nothing holds about as much memory as it may, and is charged for
// it, however small the frames of the turns are.
func TestStuckBusHoldsWhatItMay(t *testing.T) {
	b := &stuckBus{make(chan struct{})}
	o := Options{
		Cluster: "test", Node: "a", Lanes: 1, Heartbeat: time.Hour, OutboundBytes: 256 << 10,
		InterestMax: 1, Incarnation: 1, Log: quiet,
	}
	p, err := New(o, newFake(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	defer close(b.free)
	p.alone.Store(false)
	to := newLink("f.", "b", 1, 1, 1)
	p.links[0].Store(to)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range 5000 {
		p.Publish(0, []uint32{0}, []byte("publish:t:1.0.0\n"), []byte("x"), 0)
		p.Flush(0)
	}
	holds, charged := heap()-before, p.Held()
	if holds > int64(o.OutboundBytes)+3*roomyMost*bufferKeep/2 {
		t.Errorf("%d bytes are held for %d that may wait", holds, o.OutboundBytes)
	}
	if most := int64(o.OutboundBytes); charged > most || charged < most*9/10 {
		t.Errorf("%d bytes are charged of %d", charged, most)
	}
	if to.dropped.Load() == 0 || to.sent.Load() == 0 {
		t.Errorf("%d are sent, %d dropped", to.sent.Load(), to.dropped.Load())
	}
}
