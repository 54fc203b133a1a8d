package topic

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// Each message that was counted is told of once: by its name, or, when that gave way before, among
// those of names that did.
func TestCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		trie := NewTrie[int]()
		c := NewCache(trie, Publish, rapid.IntRange(1, 20).Draw(t, "names")*2*nameCharge,
			func(m []Match[int]) (int, int) { return len(m), 8 * len(m) })
		want, got := map[string]uint64{}, map[string]uint64{}
		all, told := uint64(0), uint64(0)
		position := 0
		take := func(room, n int) {
			var counts []Counted
			counts, position = c.TakeCounts(make([]Counted, 0, room), position, n)
			for _, one := range counts {
				got[one.Name] += one.Count
				told += one.Count
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"count": func(t *rapid.T) {
				name := fmt.Sprintf("a.n%d", rapid.IntRange(0, 30).Draw(t, "name"))
				c.Lookup([]byte(name))
				c.Count()
				want[name]++
				all++
			},
			"change": func(t *rapid.T) {
				p, _ := ParsePattern(fmt.Sprintf("a.n%d", rapid.IntRange(0, 30).Draw(t, "pattern")))
				trie.Subscribe(p, Publish, 1, Options{})
			},
			"sweep": func(t *rapid.T) { c.Sweep(10, rapid.Bool().Draw(t, "age")) },
			"take": func(t *rapid.T) {
				take(rapid.IntRange(1, 9).Draw(t, "room"), rapid.IntRange(1, 9).Draw(t, "n"))
			},
		})
		for take(len(c.entries)+1, 5); position > 0; {
			take(len(c.entries)+1, 5)
		}
		for take(len(c.entries)+1, 50); position > 0; {
			take(len(c.entries)+1, 50)
		}
		forgotten := c.TakeForgotten()
		if told+forgotten != all || c.TakeForgotten() != 0 {
			t.Fatalf("%d told, %d forgotten, of %d", told, forgotten, all)
		}
		if forgotten == 0 && !maps.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		for name, n := range got {
			if n > want[name] {
				t.Fatalf("%s: %d, were %d", name, n, want[name])
			}
		}
	})
}
