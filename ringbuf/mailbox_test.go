package ringbuf

import (
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestMailboxAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 5).Draw(t, "limit")
		m := NewMailbox[int](limit)
		var model, spare []int
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"post": func(t *rapid.T) {
				must := rapid.Bool().Draw(t, "must")
				next++
				taken, wake := m.Post(next, must)
				want := must || len(model) < limit
				if taken != want || wake != (want && len(model) == 0) {
					t.Fatalf("Post = %v, %v with %d of %d waiting", taken, wake, len(model), limit)
				}
				if taken {
					model = append(model, next)
				}
			},
			"take": func(t *rapid.T) {
				got := m.Take(spare)
				if !slices.Equal(got, model) {
					t.Fatalf("Take = %v, want %v", got, model)
				}
				clear(got)
				spare, model = got[:0], nil
			},
			"": func(t *rapid.T) {
				if m.Len() != len(model) {
					t.Fatalf("Len() = %d, want %d", m.Len(), len(model))
				}
			},
		})
	})
}

// A flood does not leave its memory behind.
func TestMailboxGivesBackMemory(t *testing.T) {
	m := NewMailbox[int](1 << 20)
	for i := range 2 * mailboxKeep {
		m.Post(i, false)
	}
	flood := m.Take(nil)
	m.Take(flood)
	m.Post(1, false)
	if items := m.Take(nil); cap(items) > mailboxKeep {
		t.Errorf("an empty mailbox keeps room for %d", cap(items))
	}
}

// Every item arrives once, each poster's in order, and the owner is woken whenever something waits
// that it does not know of.
func TestMailboxConcurrently(t *testing.T) {
	type item struct{ poster, n int }
	const posters, each = 4, 5000
	m := NewMailbox[item](100)
	wakes := make(chan struct{}, posters*each)
	var work sync.WaitGroup
	refused := make([]int, posters)
	for p := range posters {
		work.Go(func() {
			for n := range each {
				taken, wake := m.Post(item{p, n}, p == 0)
				if !taken {
					refused[p]++
				}
				if wake {
					wakes <- struct{}{}
				}
			}
		})
	}
	go func() { work.Wait(); close(wakes) }()
	var spare []item
	last := [posters]int{-1, -1, -1, -1}
	got := [posters]int{}
	for range wakes {
		items := m.Take(spare)
		if len(items) == 0 {
			t.Fatal("woken for nothing")
		}
		for _, v := range items {
			if v.n <= last[v.poster] {
				t.Fatalf("poster %d: %d after %d", v.poster, v.n, last[v.poster])
			}
			last[v.poster] = v.n
			got[v.poster]++
		}
		clear(items)
		spare = items[:0]
	}
	if m.Len() != 0 {
		t.Errorf("%d items wait and nobody was woken", m.Len())
	}
	for p := range posters {
		if got[p]+refused[p] != each {
			t.Errorf("poster %d: %d arrived, %d were refused", p, got[p], refused[p])
		}
	}
	if refused[0] != 0 {
		t.Errorf("%d must-items were refused", refused[0])
	}
}
