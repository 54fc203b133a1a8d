package topic

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestCacheAgainstTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := NewTrie[int]()
		limit := rapid.IntRange(0, 6).Draw(t, "limit")
		kind := genKind.Draw(t, "kind")
		builds := 0
		cache := NewCache(tree, kind, limit, func(name []byte, m []Match[int]) string {
			builds++
			return fmt.Sprintf("%s %v", name, m)
		})
		name := rapid.SampledFrom(rapid.SliceOfN(genName, 1, 12).Draw(t, "names"))
		pattern := rapid.SampledFrom(rapid.SliceOfN(genPattern, 1, 12).Draw(t, "patterns"))
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": func(t *rapid.T) {
				p, k := pattern.Draw(t, "pattern"), genKind.Draw(t, "kind")
				sub := rapid.IntRange(0, 9).Draw(t, "sub")
				tree.Subscribe(p, k, sub, genOptions.Draw(t, "options"))
			},
			"unsubscribe": func(t *rapid.T) {
				p, k := pattern.Draw(t, "pattern"), genKind.Draw(t, "kind")
				tree.Unsubscribe(p, k, rapid.IntRange(0, 9).Draw(t, "sub"))
			},
			"lookup": func(t *rapid.T) {
				n := []byte(name.Draw(t, "name"))
				m, _ := tree.Match(n, kind, nil)
				want := fmt.Sprintf("%s %v", n, m)
				if got := cache.Lookup(n); got != want {
					t.Fatalf("%q, want %q", got, want)
				}
				before := builds
				if got := cache.Lookup(n); got != want || builds != before {
					t.Fatalf("again: %q after %d builds", got, builds-before)
				}
			},
			"": func(t *rapid.T) {
				if len(cache.entries) > max(limit, 1) || len(cache.index) != len(cache.entries) {
					t.Fatalf("%d entries, %d indexed, limit %d",
						len(cache.entries), len(cache.index), limit)
				}
			},
		})
	})
}

// TestCacheKeepsWhatIsUsed: names seen once do not drive out those that are looked up again and
// again.
func TestCacheKeepsWhatIsUsed(t *testing.T) {
	tree := NewTrie[int]()
	var built []string
	cache := NewCache(tree, Publish, 8, func(name []byte, _ []Match[int]) struct{} {
		built = append(built, string(name))
		return struct{}{}
	})
	for i := range 100 {
		cache.Lookup([]byte("hot"))
		cache.Lookup(fmt.Appendf(nil, "cold%d", i))
	}
	if n := len(slices.DeleteFunc(built, func(name string) bool { return name != "hot" })); n != 1 {
		t.Errorf("a name in constant use was built %d times", n)
	}
}

func TestCacheAllocations(t *testing.T) {
	tree := NewTrie[int]()
	tree.Subscribe(mustPattern(t, "a.#"), Publish, 1, Options{})
	cache := NewCache(tree, Publish, 100, func(_ []byte, m []Match[int]) int { return len(m) })
	names := [][]byte{[]byte("a.b"), []byte("a.c"), []byte("system.log")}
	p := mustPattern(t, "a.b")
	lookup := func() {
		for _, name := range names {
			cache.Lookup(name)
		}
	}
	lookup()
	if n := testing.AllocsPerRun(100, lookup); n != 0 {
		t.Errorf("a hit: %v allocations", n)
	}
	tree.Subscribe(p, Publish, 2, Options{})
	if n := testing.AllocsPerRun(100, func() {
		tree.Subscribe(p, Publish, 2, Options{}) // a new version, the same subscribers
		lookup()
	}); n != 0 {
		t.Errorf("a rebuild: %v allocations", n)
	}
}
