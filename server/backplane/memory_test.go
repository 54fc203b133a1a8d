package backplane

import (
	"fmt"
	"runtime"
	"testing"

	"mbserver/topic"
)

// deafBroker keeps nothing of patterns, and is told of nothing else.
type deafBroker struct{ Broker }

func (deafBroker) Join(uint32)                  {}
func (deafBroker) Named(uint32, string)         {}
func (deafBroker) Want(uint32, topic.Pattern)   {}
func (deafBroker) Forget(uint32, topic.Pattern) {}
func (deafBroker) Part(uint32)                  {}

// memory is what f leaves in use, and what it allocates for that, in bytes a pattern.
func memory(t *testing.T, patterns int, f func(p *Plane, n *node)) (kept, made float64) {
	t.Helper()
	p, _, _ := teller(t)
	p.broker = deafBroker{}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.find(nodeKey{"other", 2})
	var before, after, end runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools hold, too
	runtime.ReadMemStats(&before)
	f(p, n)
	runtime.ReadMemStats(&after)
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&end)
	if n.entries.count != patterns || n.state != nodeLive {
		t.Fatalf("%d patterns, state %v", n.entries.count, n.state)
	}
	runtime.KeepAlive(p)
	return float64(end.HeapAlloc-before.HeapAlloc) / float64(patterns),
		float64(after.TotalAlloc-before.TotalAlloc) / float64(patterns)
}

// What is kept of a pattern of another node is little more than its text, whether they come all at
// once or one by one, and little more than that is allocated meanwhile.
func TestSnapshotMemory(t *testing.T) {
	const patterns = 100_000
	text := func(i int) string { return fmt.Sprintf("flights.eu.departures.gate%06d", i) }
	var parts [][]byte
	s := snapshot{version: patterns}
	for i := range patterns {
		s.entries = append(s.entries, text(i))
		s.hash ^= hashOf(text(i))
		if s.last = i == patterns-1; s.last || len(s.entries) == 2000 {
			parts = append(parts, s.append(nil))
			s.entries = nil
			s.part++
		}
	}
	read := func(b []byte, parse func([]byte) error) {
		_, fields, err := open(b)
		if err == nil {
			err = parse(fields)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	kept, made := memory(t, patterns, func(p *Plane, n *node) {
		for _, b := range parts {
			var s snapshot
			read(b, s.parse)
			p.applySnapshot(n, &s)
		}
	})
	single, _ := memory(t, patterns, func(p *Plane, n *node) {
		p.held(n, 0)
		for i := range patterns {
			var d delta
			read((&delta{uint64(i + 1), []change{{text(i), false}}}).append(nil), d.parse)
			p.applyDelta(n, &d)
			p.ctl.step() // the confirmation leaves
		}
	})
	t.Logf("a pattern: %.0f bytes, %.0f allocated; one by one %.0f", kept, made, single)
	runtime.KeepAlive(parts)
	if size := float64(len(text(0))); kept > 2*size || single > 2*size {
		t.Errorf("%.0f bytes a pattern of %.0f, one by one %.0f", kept, size, single)
	}
	if made > 4*kept {
		t.Errorf("%.0f bytes a pattern were allocated to keep %.0f", made, kept)
	}
}
