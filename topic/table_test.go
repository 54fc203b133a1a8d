package topic

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// sound checks that every head says what its bucket holds, and how many groups passed it.
func sound(t *testing.T, tab *table[int], depth int) (count int) {
	t.Helper()
	if tab.parts != nil {
		for i := range tab.parts {
			count += sound(t, &tab.parts[i], depth+1)
		}
	}
	want := make([]head, len(tab.heads))
	for index := range tab.groups {
		g := &tab.groups[index]
		if g.free() {
			if *g != (group[int]{}) {
				t.Fatalf("depth %d, %d: a free place holds something", depth, index)
			}
			continue
		}
		count++
		want[index/bucketSize] |= g.key().tag() << (index % bucketSize * 8)
		for i := tab.home(g.key()); i != index/bucketSize; i = tab.next(i) {
			want[i] += passedOne
		}
	}
	for i, h := range tab.heads {
		if h != want[i] {
			t.Fatalf("depth %d, bucket %d of %d: %x, want %x", depth, i, len(want), h, want[i])
		}
	}
	if count != tab.count {
		t.Fatalf("depth %d: count %d, %d groups", depth, tab.count, count)
	}
	return count
}

// TestTableChurn has patterns come and go around some numbers of them, among which tables are
// nearly full, about to shrink, and split.
func TestTableChurn(t *testing.T) {
	for _, around := range []int{3, 12, 90, 6 * splitAbove, 20 * splitAbove} {
		random := rand.New(rand.NewPCG(1, uint64(around)))
		var tab table[int]
		in := map[int]bool{}
		pattern := func(i int) string {
			if i%5 == 0 {
				return fmt.Sprintf("a.longer.than.fits%dinagroup.#", i)
			}
			return fmt.Sprintf("a.b%d", i)
		}
		for step := range 8*around + 200 {
			i := random.IntN(around * 5 / 4)
			text := pattern(i)
			shape, k, _ := analyse(text)
			leaf := tab.leaf(k)
			index := leaf.find(k, text)
			if in[i] != (index >= 0) || in[i] && leaf.groups[index].only[0].Sub != i {
				t.Fatalf("around %d: %s is in: %v; at %d", around, text, in[i], index)
			}
			if in[i] {
				tab.remove(k, index, 0)
				delete(in, i)
			} else {
				g := newGroup(text, shape.form(), Match[int]{Sub: i})
				tab.insert(k, &g, 0)
				in[i] = true
			}
			if step%(around/10+1) == 0 && sound(t, &tab, 0) != len(in) {
				t.Fatalf("around %d: %d groups, want %d", around, tab.count, len(in))
			}
		}
	}
}

// TestTableFull passes a bucket more often than its head can count: from then on it does not.
func TestTableFull(t *testing.T) {
	const n, k = 256 + bucketSize, 1<<32 - 1
	tab := table[int]{heads: make([]head, 64), groups: make([]group[int], 64*bucketSize)}
	for i := range n {
		g := newGroup(fmt.Sprintf("a.b%d", i), 1, Match[int]{Sub: i})
		tab.count++
		tab.put(k, &g)
	}
	for i := range n {
		index := tab.find(k, fmt.Sprintf("a.b%d", i))
		if index < 0 {
			t.Fatalf("%d of %d is lost", i, n)
		}
		if i%2 == 0 {
			tab.remove(k, index, 0)
		}
	}
	for i := range n {
		if index := tab.find(k, fmt.Sprintf("a.b%d", i)); (index >= 0) != (i%2 == 1) {
			t.Fatalf("%d is at %d", i, index)
		}
	}
	if tab.heads[63] < passedMost {
		t.Fatalf("the first bucket has %x", tab.heads[63])
	}
}

// TestSameHash has two patterns of one hash that match one name: each is found, none twice.
func TestSameHash(t *testing.T) {
	const hash = 0x7700
	var tab table[int]
	for i, text := range []string{"a.+", "+.b", "a.#", "a.b"} {
		shape, _, _ := analyse(text)
		g := newGroup(text, shape.form(), Match[int]{Sub: i})
		tab.insert(shape.key(hash), &g, 0)
	}
	for i, text := range []string{"a.+", "+.b", "a.#", "a.b"} {
		shape, _, _ := analyse(text)
		var f found[int]
		f.begin(&tab, shape.key(hash), []byte("a.b"))
		f.end([]byte("a.b"))
		if f.count != 1 || f.groups[0].only[0].Sub != i {
			t.Errorf("%s: found %d, %v", text, f.count, f.groups[0])
		}
	}
}

func TestGroupIsOneCacheLine(t *testing.T) {
	if size := unsafe.Sizeof(group[*int]{}); size != 64 {
		t.Errorf("%d bytes", size)
	}
}
