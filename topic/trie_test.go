package topic

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// model is the linear matcher the trie is held against.
type model struct {
	subscriptions map[subscription]Options
}

type subscription struct {
	pattern Pattern
	kind    Kind
	sub     int
}

// match returns, by subscriber, the options that may win: those of the highest priority.
func (m *model) match(name string, k Kind) map[int][]Options {
	out := map[int][]Options{}
	for s, o := range m.subscriptions {
		if s.kind != k || !s.pattern.Matches([]byte(name)) {
			continue
		}
		have := out[s.sub]
		switch {
		case len(have) == 0 || o.Priority > have[0].Priority:
			out[s.sub] = []Options{o}
		case o.Priority == have[0].Priority:
			out[s.sub] = append(have, o)
		}
	}
	return out
}

var (
	genLevel   = rapid.SampledFrom([]string{"a", "b", "c", "system", "averyverylonglevelindeed"})
	genKind    = rapid.SampledFrom([]Kind{Publish, Request})
	genOptions = rapid.Custom(func(t *rapid.T) Options {
		return Options{
			Priority: rapid.Float64Range(-2, 2).Draw(t, "priority"),
			Overflow: rapid.Uint8Max(3).Draw(t, "overflow"),
			Conflate: rapid.Bool().Draw(t, "conflate"),
		}
	})
	genName = rapid.Custom(func(t *rapid.T) string {
		levels := rapid.SliceOfN(genLevel, 1, MaxLevels).Draw(t, "levels")
		return string(bytes.Join(asBytes(levels), dot))
	})
	genPattern = rapid.Custom(func(t *rapid.T) Pattern {
		level := rapid.OneOf(genLevel, rapid.Just("+"))
		levels := rapid.SliceOfN(level, 0, MaxLevels-1).Draw(t, "levels")
		if len(levels) == 0 || rapid.Bool().Draw(t, "below") {
			levels = append(levels, "#")
		} else if len(levels) == MaxLevels-1 {
			levels = append(levels, level.Draw(t, "last"))
		}
		p, err := ParsePattern(string(bytes.Join(asBytes(levels), dot)))
		if err != nil {
			t.Fatal(err)
		}
		return p
	})
)

func asBytes(levels []string) (out [][]byte) {
	for _, l := range levels {
		out = append(out, []byte(l))
	}
	return out
}

// agree checks a result against the model's.
func agree(t *rapid.T, name string, got []Match[int], want map[int][]Options) {
	seen := map[int]bool{}
	for _, m := range got {
		if seen[m.Sub] {
			t.Fatalf("%s: %d twice in %v", name, m.Sub, got)
		}
		seen[m.Sub] = true
		if !slices.Contains(want[m.Sub], m.Options) {
			t.Fatalf("%s: %v, want one of %v", name, m, want[m.Sub])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", name, got, want)
	}
}

func TestTreeAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree, twin := NewTrie[int](), NewTrie[int]()
		m := &model{subscriptions: map[subscription]Options{}}
		pattern := rapid.SampledFrom(rapid.SliceOfN(genPattern, 1, 20).Draw(t, "patterns"))
		sub := rapid.IntRange(0, 60)
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": func(t *rapid.T) {
				p, k := pattern.Draw(t, "pattern"), genKind.Draw(t, "kind")
				o := genOptions.Draw(t, "options")
				first := sub.Draw(t, "first")
				for s := first; s <= sub.Draw(t, "last"); s++ {
					_, had := m.subscriptions[subscription{p, k, s}]
					if tree.Subscribe(p, k, s, o) == had || twin.Subscribe(p, k, s, o) == had {
						t.Fatalf("Subscribe(%s, %d): had %v", p, s, had)
					}
					m.subscriptions[subscription{p, k, s}] = o
				}
			},
			"unsubscribe": func(t *rapid.T) {
				p, k := pattern.Draw(t, "pattern"), genKind.Draw(t, "kind")
				first := sub.Draw(t, "first")
				for s := first; s <= sub.Draw(t, "last"); s++ {
					_, had := m.subscriptions[subscription{p, k, s}]
					if tree.Unsubscribe(p, k, s) != had || twin.Unsubscribe(p, k, s) != had {
						t.Fatalf("Unsubscribe(%s, %d): had %v", p, s, had)
					}
					delete(m.subscriptions, subscription{p, k, s})
				}
			},
			"match": func(t *rapid.T) {
				name, k := genName.Draw(t, "name"), genKind.Draw(t, "kind")
				before := []Match[int]{{Sub: -1}}
				got, v := tree.Match([]byte(name), k, before)
				if got[0] != before[0] {
					t.Fatalf("%s: what dst held is lost", name)
				}
				agree(t, name, got[1:], m.match(name, k))
				if v != tree.Version([]byte(name)) {
					t.Fatalf("%s: version %v, now %v", name, v, tree.Version([]byte(name)))
				}
				if same, _ := twin.Match([]byte(name), k, before); !slices.Equal(got, same) {
					t.Fatalf("%s: two trees with one history: %v and %v", name, got, same)
				}
			},
			"": func(t *rapid.T) {
				if tree.Count() != len(m.subscriptions) {
					t.Fatalf("Count %d, want %d", tree.Count(), len(m.subscriptions))
				}
				if len(m.subscriptions) == 0 {
					empty(t, tree)
				}
				walked := map[subscription]Options{}
				tree.Walk(func(p Pattern, k Kind) bool {
					subs := tree.Subscribers(p, k, nil)
					if len(subs) == 0 {
						t.Fatalf("Walk: %s has no subscribers", p)
					}
					for _, s := range subs {
						walked[subscription{p, k, s.Sub}] = s.Options
					}
					return true
				})
				if !maps.Equal(walked, m.subscriptions) {
					t.Fatalf("Walk: %v, want %v", walked, m.subscriptions)
				}
			},
		})
	})
}

func TestFitsAgainstMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, name := genPattern.Draw(t, "pattern"), []byte(genName.Draw(t, "name"))
		if got := fits([]byte(p.String()), name); !IsSystem(name) && got != p.Matches(name) {
			t.Fatalf("%s fits %s: %v", p, name, got)
		}
	})
}

// empty checks that nothing is left of what was.
func empty(t interface{ Fatalf(string, ...any) }, tree *Trie[int]) {
	for i := range tree.shards {
		if tree.shards[i].stores != [kinds]*store[int]{} || tree.shards[i].size.Load() != 0 {
			t.Fatalf("shard %d of an empty tree holds something", i)
		}
	}
	if tree.wild.stores != [kinds]*store[int]{} || tree.wild.size.Load() != 0 {
		t.Fatalf("the wildcards' shard of an empty tree holds something")
	}
}

// TestManyPatterns grows one shard past the splitting of its table's parts and takes it down again.
func TestManyPatterns(t *testing.T) {
	const n = 10 * splitAbove << partBits
	tree := NewTrie[int]()
	pattern := func(i int) Pattern { return mustPattern(t, fmt.Sprintf("a.b%d.c%d", i%50, i)) }
	check := func(from, to int) {
		t.Helper()
		for i := range n {
			m, _ := tree.Match([]byte(pattern(i).String()), Publish, nil)
			if want := from <= i && i < to; want != (len(m) == 1) || want && m[0].Sub != i {
				t.Fatalf("with %d to %d: %d has %v", from, to, i, m)
			}
		}
	}
	for i := range n {
		tree.Subscribe(pattern(i), Publish, i, Options{})
	}
	check(0, n)
	for i := range n / 2 {
		tree.Unsubscribe(pattern(i), Publish, i)
	}
	check(n/2, n)
	for i := n - 1; i >= n/2; i-- {
		tree.Unsubscribe(pattern(i), Publish, i)
	}
	check(0, 0)
	empty(t, tree)
}

// TestAllShapes has every pattern that can match one name, the most groups that can be found.
func TestAllShapes(t *testing.T) {
	tree, count := NewTrie[int](), 0
	name := []string{"a", "b", "c", "d", "e"}
	for plus := range 1 << MaxLevels {
		for below := range MaxLevels + 1 {
			levels := slices.Clone(name)
			for i := range levels {
				if plus&(1<<i) != 0 {
					levels[i] = "+"
				}
			}
			if below < MaxLevels {
				levels = append(levels[:below], "#")
			}
			p := mustPattern(t, string(bytes.Join(asBytes(levels), dot)))
			if tree.Subscribe(p, Publish, count, Options{}) {
				count++
			}
		}
	}
	got, _ := tree.Match([]byte("a.b.c.d.e"), Publish, nil)
	subs := map[int]bool{}
	for _, m := range got {
		subs[m.Sub] = true
	}
	if len(subs) != len(got) || len(got) != tree.Count() {
		t.Fatalf("%d matches, %d different, of %d", len(got), len(subs), tree.Count())
	}
}

// TestPopularPattern has 100,000 subscribers come and leave, oldest first:
// quadratic work would take minutes.
func TestPopularPattern(t *testing.T) {
	const n = 100_000
	tree, p := NewTrie[int](), mustPattern(t, "news.+")
	for i := range n {
		tree.Subscribe(p, Publish, i, Options{})
	}
	if m, _ := tree.Match([]byte("news.sport"), Publish, nil); len(m) != n {
		t.Fatalf("%d matches", len(m))
	}
	for i := range n {
		if !tree.Unsubscribe(p, Publish, i) {
			t.Fatalf("%d was not subscribed", i)
		}
	}
	empty(t, tree)
}

func TestReplacedOptionsChangeTheVersion(t *testing.T) {
	tree, name := NewTrie[int](), []byte("a.b")
	for _, p := range []string{"a.b", "a.+", "+.b", "#"} {
		for _, step := range []func(Pattern){
			func(p Pattern) { tree.Subscribe(p, Request, 1, Options{}) },
			func(p Pattern) { tree.Subscribe(p, Request, 1, Options{Priority: 3}) },
			func(p Pattern) { tree.Unsubscribe(p, Request, 1) },
		} {
			before := tree.Version(name)
			step(mustPattern(t, p))
			if tree.Version(name) == before {
				t.Errorf("%s: a change that the version does not show", p)
			}
		}
		before := tree.Version(name)
		if tree.Unsubscribe(mustPattern(t, p), Request, 1); tree.Version(name) != before {
			t.Errorf("%s: a new version without a change", p)
		}
	}
}

// TestConcurrent has writers and matchers at once. Each writer's subscriber is in two patterns or
// in none of its own; one subscriber is always there.
func TestConcurrent(t *testing.T) {
	tree := NewTrie[int]()
	tree.Subscribe(mustPattern(t, "a.b"), Publish, -1, Options{Priority: 1})
	tree.Subscribe(mustPattern(t, "+.b"), Publish, -1, Options{Priority: 2})
	patterns := []Pattern{
		mustPattern(t, "a.b"), mustPattern(t, "a.+"), mustPattern(t, "#"), mustPattern(t, "+.b"),
	}
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 3 {
		writers.Go(func() {
			for i := range 1500 {
				for _, p := range patterns {
					tree.Subscribe(p, Publish, w*100+i%40, Options{})
				}
				for _, p := range patterns {
					tree.Unsubscribe(p, Publish, w*100+(i+17)%40)
				}
			}
		})
	}
	for range 3 {
		readers.Go(func() {
			cache := NewCache(tree, Publish, 1<<20, countMatches)
			var dst []Match[int]
			for {
				dst, _ = tree.Match([]byte("a.b"), Publish, dst[:0])
				seen := map[int]bool{}
				for _, m := range dst {
					if seen[m.Sub] {
						t.Errorf("%d twice", m.Sub)
					}
					seen[m.Sub] = true
					if m.Sub == -1 && m.Options.Priority != 2 {
						t.Errorf("priority %v", m.Options.Priority)
					}
				}
				if n, _ := cache.Lookup([]byte("a.b")); !seen[-1] || n == 0 {
					t.Error("the subscriber that never leaves is missing")
				}
				tree.Walk(func(p Pattern, k Kind) bool {
					dst = tree.Subscribers(p, k, dst[:0])
					return true
				})
				select {
				case <-done:
					if n, _ := cache.Lookup([]byte("a.b")); n != len(match(tree, "a.b")) {
						t.Error("a stale entry after the last change")
					}
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

func match(tree *Trie[int], name string) []Match[int] {
	m, _ := tree.Match([]byte(name), Publish, nil)
	return m
}
