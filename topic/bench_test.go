package topic

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// population returns n patterns, percent of a hundred of them with a wildcard, and as many names,
// each of which matches mostly one. The patterns are in random order; the names lie one behind the
// other, because the name of a message has just been read when it is matched.
func population(n, percent int) (patterns []Pattern, names [][]byte) {
	for i := range n {
		department, unit := fmt.Sprintf("dept%d", i%97), fmt.Sprintf("unit%d", i/97%101)
		device := fmt.Sprintf("dev%d", i)
		name := department + "." + unit + "." + device
		text := name
		if i%100 < percent {
			switch i / 100 % 4 {
			case 0:
				text = department + ".+." + device
			case 1:
				text = "+." + unit + "." + device
			case 2:
				text = name + ".#"
			case 3:
				text, name = name+".+", name+".state"
			}
		}
		p, err := ParsePattern(text)
		if err != nil {
			panic(err)
		}
		patterns, names = append(patterns, p), append(names, []byte(name))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) {
		patterns[i], patterns[j] = patterns[j], patterns[i]
	})
	return patterns, names
}

func BenchmarkTreeMatch(b *testing.B) {
	for _, n := range []int{10, 10_000, 1_000_000} {
		for _, percent := range []int{0, 10, 20} {
			b.Run(fmt.Sprintf("subscriptions=%d/wildcards=%d%%", n, percent), func(b *testing.B) {
				patterns, names := population(n, percent)
				t := NewTrie[*int]()
				for _, p := range patterns {
					t.Subscribe(p, Publish, new(int), Options{})
				}
				runtime.GC()
				var dst []Match[*int]
				matches, i := 0, 0
				b.ReportAllocs()
				for b.Loop() {
					dst, _ = t.Match(names[i], Publish, dst[:0])
					matches += len(dst)
					if i++; i == len(names) {
						i = 0
					}
				}
				b.ReportMetric(float64(matches)/float64(b.N), "matches/op")
			})
		}
	}
}

func BenchmarkCacheHit(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("names=%d", n), func(b *testing.B) {
			patterns, names := population(n, 10)
			t := NewTrie[int]()
			for i, p := range patterns {
				t.Subscribe(p, Publish, i, Options{})
			}
			c := NewCache(t, Publish, 1<<30, countMatches)
			c.limit = n
			for _, name := range names {
				c.Lookup(name)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				c.Lookup(names[i])
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

func BenchmarkSubscribe(b *testing.B) {
	// A service comes and leaves where others already are.
	for _, others := range []int{0, 1, 10, 100_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			t := NewTrie[int]()
			p := mustPattern(b, "news.sport.+")
			for i := range others {
				t.Subscribe(p, Publish, i, Options{})
			}
			b.ReportAllocs()
			for b.Loop() {
				t.Subscribe(p, Publish, -1, Options{})
				t.Unsubscribe(p, Publish, -1)
			}
		})
	}
}

// BenchmarkMemory measures the bytes of one subscription in the trie.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct {
		name              string
		sharing, wildcard int
	}{
		{"one-each", 1, 0},
		{"one-each-wild", 1, 100},
		{"five-share", 5, 0},
		{"all-share", 200_000, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			const n = 200_000
			patterns, _ := population(n, c.wildcard)
			subs := make([]*int, n)
			for i := range subs {
				subs[i] = new(int)
			}
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				t := NewTrie[*int]()
				for i, s := range subs {
					t.Subscribe(patterns[i/c.sharing], Publish, s, Options{})
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(t)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/subscription")
		})
	}
}

func mustPattern(t testing.TB, s string) Pattern {
	t.Helper()
	p, err := ParsePattern(s)
	if err != nil {
		t.Fatalf("ParsePattern(%q): %v", s, err)
	}
	return p
}

// BenchmarkCacheFill is a look-up after a change of a pattern that matches none of the names: of
// 1,000 names that 4,000 subscribers match by one pattern, one after the other.
func BenchmarkCacheFill(b *testing.B) {
	t := NewTrie[*int]()
	for range 4000 {
		t.Subscribe(mustPattern(b, "#"), Publish, new(int), Options{})
	}
	c := NewCache(t, Publish, 64<<20, func(m []Match[*int]) ([]*int, int) {
		var all []*int
		for i := range m {
			all = append(all, m[i].Sub)
		}
		return all, 8 * cap(all)
	})
	var names [][]byte
	for i := range 1000 {
		names = append(names, fmt.Appendf(nil, "t%d.a", i))
	}
	other, s, i := mustPattern(b, "+.x"), new(int), 0
	b.ReportAllocs()
	for b.Loop() {
		if i++; i == len(names) {
			t.Subscribe(other, Publish, s, Options{})
			i = 0
		}
		c.Lookup(names[i])
	}
}
