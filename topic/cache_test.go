package topic

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"

	"pgregory.net/rapid"
)

// countMatches is a value of which each match takes eight bytes.
func countMatches(m []Match[int]) (value, bytes int) { return len(m), 8 * len(m) }

func TestCacheAgainstTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := NewTrie[int]()
		most := rapid.IntRange(0, 16*nameCharge).Draw(t, "bytes")
		kind := genKind.Draw(t, "kind")
		left := make(map[int]bool)
		builds := 0
		// What is built leaves out who has left, as the broker's does.
		show := func(m []Match[int]) string {
			m = slices.DeleteFunc(slices.Clone(m), func(m Match[int]) bool { return left[m.Sub] })
			return fmt.Sprint(m)
		}
		cache := NewCache(tree, kind, most, func(m []Match[int]) (string, int) {
			builds++
			return show(m), 100 * len(m)
		})
		cache.least = rapid.IntRange(1, 4).Draw(t, "least")
		other := NewCache(tree, kind, 1<<20, countMatches)
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
			"leave": func(t *rapid.T) {
				left[rapid.IntRange(0, 9).Draw(t, "sub")] = true
				tree.Outdate()
			},
			"sweep": func(t *rapid.T) {
				cache.Sweep(rapid.IntRange(1, 5).Draw(t, "entries"), rapid.Bool().Draw(t, "age"))
			},
			"lookup": func(t *rapid.T) {
				n := []byte(name.Draw(t, "name"))
				m, _ := tree.Match(n, kind, nil)
				want := show(m)
				got, key := cache.Lookup(n)
				if got != want {
					t.Fatalf("%s: %s, want %s", n, got, want)
				}
				before := builds
				if again, _ := cache.Lookup(n); again != want || builds != before {
					t.Fatalf("again: %s after %d builds", again, builds-before)
				}
				if _, same := other.Lookup(n); key != same || key == 0 {
					t.Fatalf("the keys of %s are %x and %x", n, key, same)
				}
			},
			"": func(t *rapid.T) { cache.check(t) },
		})
	})
}

// check holds that what the cache says that it holds is what it holds.
func (c *Cache[S, R]) check(t *rapid.T) {
	if len(c.entries) > c.limit || len(c.index) != len(c.entries) || c.left > len(c.entries) {
		t.Fatalf("%d entries, %d indexed, limit %d, %d to be swept",
			len(c.entries), len(c.index), c.limit, c.left)
	}
	names, held, targets, largest := map[*built[S, R]]int{}, 0, 0, 0
	for i := range c.entries {
		e := &c.entries[i]
		if c.index[e.name] != int32(i) {
			t.Fatalf("%s stands at %d, indexed at %d", e.name, i, c.index[e.name])
		}
		held += len(e.name)
		if e.of != nil {
			names[e.of]++
		}
	}
	shared := 0
	for b, n := range names {
		held += b.bytes
		targets += b.targets
		largest = max(largest, b.bytes)
		if b.names != n {
			t.Fatalf("a value of %d names says %d", n, b.names)
		}
		if b.groups != nil {
			shared++
		}
	}
	for _, b := range c.byHash {
		for ; b != nil; b = b.next {
			shared--
			if names[b] == 0 {
				t.Fatal("a value is kept that no name has")
			}
		}
	}
	if held != c.held || targets != c.targets || shared != 0 {
		t.Fatalf("%d bytes and %d targets are held, %d and %d are known; %d values are not found",
			held, targets, c.held, c.targets, shared)
	}
	if len(c.entries) > 1 && c.Held() > c.most {
		t.Fatalf("%d bytes are held of %d", c.Held(), c.most)
	}
}

// Names that the same patterns match have one value, and a change that does not bear on it makes no
// new one, however many names have to look.
func TestCacheShares(t *testing.T) {
	const subscribers, names = 4000, 1000
	tree := NewTrie[int]()
	for i := range subscribers {
		tree.Subscribe(mustPattern(t, "#"), Publish, i, Options{})
	}
	builds := 0
	cache := NewCache(tree, Publish, 64<<20, func(m []Match[int]) (int, int) {
		builds++
		return countMatches(m)
	})
	lookUp := func(what string, wantBuilds, wantTargets, want int) {
		t.Helper()
		builds = 0
		for i := range names {
			if got, _ := cache.Lookup(fmt.Appendf(nil, "t%d.a", i)); got != want {
				t.Fatalf("%s: %d subscribers, want %d", what, got, want)
			}
		}
		if builds != wantBuilds || cache.Targets() != wantTargets {
			t.Errorf("%s: %d values were made, want %d; %d targets, want %d",
				what, builds, wantBuilds, cache.Targets(), wantTargets)
		}
	}
	lookUp("at first", 1, subscribers, subscribers)
	most := names*(2*nameCharge+8) + 9*subscribers
	if cache.Held() > most {
		t.Errorf("%d bytes are held, want at most %d", cache.Held(), most)
	}
	tree.Subscribe(mustPattern(t, "+.z"), Publish, -1, Options{})
	lookUp("a pattern that matches none", 0, subscribers, subscribers)
	tree.Subscribe(mustPattern(t, "t7.a"), Publish, 7, Options{Priority: 1})
	lookUp("a subscriber once more", 1, 2*subscribers, subscribers)
	tree.Unsubscribe(mustPattern(t, "t7.a"), Publish, 7)
	lookUp("no more", 0, subscribers, subscribers)
	tree.Unsubscribe(mustPattern(t, "#"), Publish, 0)
	lookUp("one less", 1, subscribers-1, subscribers-1)
	tree.Subscribe(mustPattern(t, "#"), Publish, 1, Options{Conflate: true})
	lookUp("other options", 1, subscribers-1, subscribers-1)
	tree.Outdate()
	lookUp("outdated", 1, subscribers-1, subscribers-1)
}

// Patterns that come and go have those names looked up again that they may match, and no others,
// however much both have in common.
func TestCacheKeepsOthers(t *testing.T) {
	const names = 200
	for _, c := range []struct {
		pattern string // %d: which one comes or goes
		kind    Kind
		most    int // names that are looked up again for each
	}{
		{"a.b.other%d", Publish, 0}, {"a.b.other%d.+", Publish, 0}, {"a.b.t%d.x.#", Publish, 0},
		{"a.other%d.#", Publish, 0}, {"a.b.#", Request, 0}, {"a.b.t%d", Request, 0},
		{"a.b.t%d", Publish, 1}, {"a.b.t%d.#", Publish, 1}, {"a.b.+", Publish, names},
		{"+.b.t1", Publish, names}, {"#", Publish, names},
	} {
		tree := NewTrie[int]()
		tree.Subscribe(mustPattern(t, "a.#"), Publish, 1, Options{})
		builds := 0
		cache := NewCache(tree, Publish, 64<<20, func(m []Match[int]) (int, int) {
			builds++
			return countMatches(m)
		})
		lookUp := func() {
			for i := range names {
				name := fmt.Appendf(nil, "a.b.t%d", i)
				m, _ := tree.Match(name, Publish, nil)
				if got, _ := cache.Lookup(name); got != len(m) {
					t.Fatalf("%s: %s has %d, want %d", c.pattern, name, got, len(m))
				}
			}
		}
		lookUp()
		builds = 0
		const changes = 50
		for i := range changes {
			text := c.pattern
			if strings.Contains(text, "%") {
				text = fmt.Sprintf(text, i/2)
			}
			if p := mustPattern(t, text); i%2 == 0 {
				tree.Subscribe(p, c.kind, 7, Options{})
			} else {
				tree.Unsubscribe(p, c.kind, 7)
			}
			cache.Sweep(names, false)
			lookUp()
		}
		// Some share a place, now and then with all names: that of what these have in common.
		if most := changes * (c.most + names/5); builds > most {
			t.Errorf("%s: %d look-ups for %d changes, want at most %d",
				c.pattern, builds, changes, most)
		}
	}
}

// What is held is bounded, also when each name has a value of its own.
func TestCacheIsBounded(t *testing.T) {
	const subscribers, most = 200, 1 << 20
	tree := NewTrie[int]()
	cache := NewCache(tree, Publish, most, countMatches)
	for i := range 2000 {
		name := fmt.Sprintf("t%d.a", i)
		for s := range subscribers {
			tree.Subscribe(mustPattern(t, name), Publish, s, Options{})
		}
		if got, _ := cache.Lookup([]byte(name)); got != subscribers {
			t.Fatal(got)
		}
		if cache.Held() > most {
			t.Fatalf("%d bytes are held after %d names", cache.Held(), i+1)
		}
	}
	if cache.Targets() < most/2/(8+nameCharge/subscribers+1) {
		t.Errorf("only %d targets are kept", cache.Targets())
	}
	// One name may have more.
	for s := range most / 4 {
		tree.Subscribe(mustPattern(t, "large"), Publish, s, Options{})
	}
	cache.Lookup([]byte("large"))
	if len(cache.entries) != 1 || cache.Targets() != most/4 {
		t.Errorf("%d names, %d targets", len(cache.entries), cache.Targets())
	}
	cache.Lookup([]byte("small"))
	if cache.Held() > most/4 {
		t.Errorf("%d bytes are held of what was large", cache.Held())
	}
}

// What subscriptions have outdated keeps no subscriber alive once all was swept, whether or not it
// is looked up again; what has not changed stays.
func TestCacheLetsGo(t *testing.T) {
	tree := NewTrie[*[64]int]()
	cache := NewCache(tree, Publish, 1<<20, func(m []Match[*[64]int]) ([]*[64]int, int) {
		var all []*[64]int
		for i := range m {
			all = append(all, m[i].Sub)
		}
		return all, 8 * len(all)
	})
	stays := new([64]int)
	tree.Subscribe(mustPattern(t, "b.c"), Publish, stays, Options{})
	cache.Lookup([]byte("b.c"))
	var gone []weak.Pointer[[64]int]
	func() {
		for i := range 100 {
			s := new([64]int)
			gone = append(gone, weak.Make(s))
			tree.Subscribe(mustPattern(t, "a.#"), Publish, s, Options{})
			cache.Lookup(fmt.Appendf(nil, "a.x%d", i))
			tree.Unsubscribe(mustPattern(t, "a.#"), Publish, s)
		}
	}()
	for range 2 * 101 {
		cache.Sweep(1, false)
	}
	if cache.Targets() != 1 || len(cache.entries) != 101 {
		t.Errorf("%d targets, %d names", cache.Targets(), len(cache.entries))
	}
	runtime.GC()
	for i, p := range gone {
		if p.Value() != nil {
			t.Fatalf("subscriber %d is alive", i)
		}
	}
	runtime.KeepAlive(cache)
}

// With age, names go that were not looked up for a whole round, and so does what they held.
func TestCacheAges(t *testing.T) {
	tree := NewTrie[int]()
	for i := range 100 {
		tree.Subscribe(mustPattern(t, "#"), Publish, i, Options{})
	}
	cache := NewCache(tree, Publish, 64<<20, countMatches)
	for i := range 10_000 {
		cache.Lookup(fmt.Appendf(nil, "t%d", i))
	}
	hot := []byte("t77")
	for range 3 {
		cache.Lookup(hot)
		tree.Subscribe(mustPattern(t, "other"), Publish, 1, Options{}) // a round of its own
		cache.Sweep(1, false)
		for cache.Sweep(100, true); cache.left > 0 || cache.ages; cache.Sweep(100, false) {
			cache.Lookup(hot)
		}
	}
	if len(cache.entries) != 1 || cache.entries[0].name != string(hot) || cache.Targets() != 100 {
		t.Errorf("%d names, %d targets", len(cache.entries), cache.Targets())
	}
	if cache.Held() > 100*nameCharge {
		t.Errorf("%d bytes are held", cache.Held())
	}
}

// TestCacheKeepsWhatIsUsed: names seen once do not drive out those that are looked up again and
// again.
func TestCacheKeepsWhatIsUsed(t *testing.T) {
	tree := NewTrie[int]()
	tree.Subscribe(mustPattern(t, "hot"), Publish, 1, Options{})
	hot := 0
	cache := NewCache(tree, Publish, 2*8*nameCharge, func(m []Match[int]) (struct{}, int) {
		hot += len(m)
		return struct{}{}, 0
	})
	for i := range 100 {
		cache.Lookup([]byte("hot"))
		cache.Lookup(fmt.Appendf(nil, "cold%d", i))
	}
	if hot != 1 || len(cache.entries) > 8 {
		t.Errorf("a name in constant use was built %d times, %d are kept", hot, len(cache.entries))
	}
}

func TestCacheAllocations(t *testing.T) {
	tree := NewTrie[int]()
	tree.Subscribe(mustPattern(t, "a.#"), Publish, 1, Options{})
	for i := range 100 {
		tree.Subscribe(mustPattern(t, "b.+"), Publish, i, Options{})
	}
	cache := NewCache(tree, Publish, 1<<20, countMatches)
	names := [][]byte{[]byte("a.b"), []byte("a.c"), []byte("b.c"), []byte("system.log")}
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

// What is remembered beside a name stays when subscriptions change, and goes with the name; looking
// for it adds none.
func TestMemo(t *testing.T) {
	tree := NewTrie[int]()
	cache := NewCache(tree, Publish, 1<<20, countMatches)
	a, b := []byte("a.b"), []byte("a.c")
	if cache.Find(a) != nil || len(cache.entries) != 0 {
		t.Fatal("a name is there that nobody has looked up")
	}
	for i, name := range [][]byte{a, b} {
		cache.Lookup(name)
		if m := cache.Find(name).Remembered(); *m != (Memo{}) {
			t.Errorf("%s: %+v at first", name, m)
		} else {
			*m = Memo{Of: uint64(i + 1), Says: 7}
		}
	}
	tree.Subscribe(mustPattern(t, "a.+"), Publish, 1, Options{})
	for i, name := range [][]byte{a, b} {
		m := cache.Find(name).Remembered()
		if n, key := cache.Lookup(name); n != 1 || key == 0 || m.Of != uint64(i+1) || m.Says != 7 {
			t.Errorf("%s: %d, %+v", name, n, m)
		}
	}
	cache.remove(0) // the last takes its place
	if m := cache.Find(b); cache.Find(a) != nil || m == nil || m.Of != 2 {
		t.Errorf("%+v", m)
	}
	cache.Lookup(a)
	if m := cache.Find(a).Remembered(); *m != (Memo{}) {
		t.Errorf("%+v of a name that had gone", m)
	}
}
