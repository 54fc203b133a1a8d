//go:build !race

package backplane

import "testing"

// A request on its way to another node costs no memory of its own.
func TestAllocAsk(t *testing.T) {
	h := aloneHub()
	a, b := h.join(t, "a"), h.join(t, "b")
	a.knows(t, 1)
	b.knows(t, 1)
	q := theRequest()
	n := testing.AllocsPerRun(100, func() {
		for range 100 {
			a.Ask(0, 0, q)
		}
	})
	if n > 1 {
		t.Errorf("%v allocations for 100", n)
	}
}
