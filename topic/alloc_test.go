//go:build !race

// The race detector empties pools at random, so this is not for it.

package topic

import "testing"

func TestMatchAllocations(t *testing.T) {
	tree := NewTrie[int]()
	for i := range 5000 {
		tree.Subscribe(mustPattern(t, "a.b"), Publish, i, Options{})
		tree.Subscribe(mustPattern(t, "a.+"), Publish, i/2, Options{})
		tree.Subscribe(mustPattern(t, "#"), Publish, i+2500, Options{Priority: 1})
	}
	for i, text := range []string{
		"one.two", "one.+", "one.#", "one.two.#", "one.+.#", "+.two", "+.+", "+.#", "+.two.#",
		"one.alevelthatisnotkeptinthegroupitself", "one.alevelthatisnotkeptinthegroupitself.#",
	} {
		tree.Subscribe(mustPattern(t, text), Publish, i, Options{})
	}
	dst := make([]Match[int], 0, 10000)
	for _, text := range []string{"a.b", "one.two", "nobody", "system.log",
		"one.alevelthatisnotkeptinthegroupitself",
	} {
		name := []byte(text)
		n := testing.AllocsPerRun(50, func() { dst, _ = tree.Match(name, Publish, dst[:0]) })
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if m := match(tree, "a.b"); len(m) != 7500 {
		t.Errorf("%d matches", len(m))
	}
}
