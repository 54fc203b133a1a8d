package topic

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func mustParse(t testing.TB, text string) Pattern {
	t.Helper()
	p, err := ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A walk tells of what stays exactly once, though leaves are split and disappear under it, and
// never reads more than a leaf under the lock.
func TestWalkWhileItChanges(t *testing.T) {
	const stable, passing = 6000, 30000
	for seed := range uint64(4) {
		tree, random := NewTrie[int](), rand.New(rand.NewPCG(seed, 1))
		for i := range stable {
			tree.Subscribe(mustParse(t, fmt.Sprintf("a.s%d", i)), Publish, 1, Options{})
		}
		var others []Pattern
		for i := range passing {
			others = append(others, mustParse(t, fmt.Sprintf("a.p%d", i)))
		}
		grow := seed%2 == 0
		if !grow {
			for _, p := range others {
				tree.Subscribe(p, Publish, 1, Options{})
			}
		}
		seen, twice := map[string]int{}, 0
		tree.Walk(func(p Pattern, k Kind) bool {
			if seen[p.String()]++; seen[p.String()] > 1 {
				twice++
			}
			for range 8 { // it changes as fast as it is walked
				if len(others) == 0 {
					break
				}
				last := len(others) - 1
				i := random.IntN(len(others))
				others[i], others[last] = others[last], others[i]
				if grow {
					tree.Subscribe(others[last], Publish, 1, Options{})
				} else {
					tree.Unsubscribe(others[last], Publish, 1)
				}
				others = others[:last]
			}
			return true
		})
		for i := range stable {
			if n := seen[fmt.Sprintf("a.s%d", i)]; n != 1 {
				t.Fatalf("seed %d: a.s%d was told of %d times", seed, i, n)
			}
		}
		if twice != 0 {
			t.Errorf("seed %d: %d patterns were told of twice", seed, twice)
		}
	}
}

func TestWalkReadsALeafAtATime(t *testing.T) {
	const most = 3000
	tree := NewTrie[int]()
	for i := range 40000 {
		tree.Subscribe(mustParse(t, fmt.Sprintf("+.p%d", i)), Publish, 1, Options{})
	}
	total := 0
	for from, more := key(0), true; more; {
		var texts []string
		texts, from, more = tree.wild.patterns(Publish, from, nil)
		if total += len(texts); len(texts) > most {
			t.Fatalf("%d patterns were read under the lock", len(texts))
		}
	}
	if total != 40000 {
		t.Errorf("%d patterns", total)
	}
}

func TestChangesAreCounted(t *testing.T) {
	tree, p := NewTrie[int](), mustParse(t, "a.b")
	was := tree.Changes()
	for i, change := range []func(){
		func() { tree.Subscribe(p, Publish, 1, Options{}) },
		func() { tree.Subscribe(p, Publish, 1, Options{Priority: 1}) },
		func() { tree.Unsubscribe(p, Publish, 1) },
	} {
		if change(); tree.Changes() == was {
			t.Errorf("change %d was not counted", i)
		}
		was = tree.Changes()
	}
	if tree.Unsubscribe(p, Publish, 1); tree.Changes() != was {
		t.Error("what changes nothing was counted")
	}
	cache := NewCache(tree, Publish, 1<<20, func([]Match[int]) (*int, int) { return new(int), 8 })
	for _, name := range []string{"a.b", "system.log"} {
		v, _ := cache.Lookup([]byte(name))
		if again, _ := cache.Lookup([]byte(name)); again != v {
			t.Errorf("%s is not remembered", name)
		}
		tree.Outdate()
		if now, _ := cache.Lookup([]byte(name)); now == v {
			t.Errorf("%s is not stale", name)
		}
	}
}
