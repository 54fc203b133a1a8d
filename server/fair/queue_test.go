package fair

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// modelLane is a lane of the naive queue.
type modelLane struct {
	key   int
	items []int
}

// TestQueueModel holds a queue against slices of slices: whose turn it is, who is displaced, and
// that its own links are whole after any step.
func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[int, int]
		var lanes []*modelLane // the first has the turn
		links := map[int]*Link[int]{}
		laneOf := func(key int) int {
			return slices.IndexFunc(lanes, func(ln *modelLane) bool { return ln.key == key })
		}
		remove := func(i, at int) {
			ln := lanes[i]
			item := ln.items[at]
			q.Remove(ln.key, links[item])
			if ln.items = slices.Delete(ln.items, at, at+1); len(ln.items) == 0 {
				lanes = slices.Delete(lanes, i, i+1)
			}
			delete(links, item)
		}
		for next := range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := rapid.IntRange(0, 5).Draw(t, "key")
			i := laneOf(key)
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				links[next] = &Link[int]{Item: next}
				q.Push(key, links[next])
				if i < 0 {
					lanes, i = append(lanes, &modelLane{key: key}), len(lanes)
				}
				lanes[i].items = append(lanes[i].items, next)
			case 2: // served
				if len(lanes) == 0 {
					continue
				}
				q.Advance()
				lanes = append(lanes[1:], lanes[0])
				remove(len(lanes)-1, 0)
			case 3: // gone from the middle
				if i >= 0 {
					remove(i, rapid.IntRange(0, len(lanes[i].items)-1).Draw(t, "at"))
				}
			case 4:
				checkDisplaced(t, &q, lanes, key)
			}
			checkQueue(t, &q, lanes)
		}
	})
}

// checkQueue compares what the queue says with the model.
func checkQueue(t *rapid.T, q *Queue[int, int], lanes []*modelLane) {
	if err := q.Check(); err != nil {
		t.Fatal(err)
	}
	count, all := 0, []int(nil)
	for _, ln := range lanes {
		count += len(ln.items)
		all = append(all, ln.items...)
		if got := slices.Collect(q.lanes[ln.key].items.All()); !slices.Equal(got, ln.items) {
			t.Fatalf("lane %d has %v, want %v", ln.key, got, ln.items)
		}
		if k := q.First(ln.key); k == nil || k.Item != ln.items[0] {
			t.Fatalf("the first of lane %d is %v, want %v", ln.key, k, ln.items)
		}
	}
	if q.Len() != count {
		t.Fatalf("%d items, want %d", q.Len(), count)
	}
	if got := slices.Collect(q.All()); !slices.Equal(got, all) {
		t.Fatalf("All has %v, want %v", got, all)
	}
	next := q.Next()
	if (next == nil) != (count == 0) || next != nil && next.Item != lanes[0].items[0] {
		t.Fatalf("next is %v, want the first of %v", next, lanes)
	}
}

// checkDisplaced holds that somebody gives way exactly when key has less than its share, and that
// who does keeps at least as many as key then has.
func checkDisplaced(t *rapid.T, q *Queue[int, int], lanes []*modelLane, key int) {
	own, total, keys := 0, 0, len(lanes)
	for _, ln := range lanes {
		total += len(ln.items)
		if ln.key == key {
			own = len(ln.items)
		}
	}
	if own == 0 {
		keys++
	}
	k := q.Displaceable(key)
	if (k != nil) != (float64(total)/float64(keys) > float64(own+1)) {
		t.Fatalf("key %d has %d of %d in %d lanes, displaced is %v", key, own, total, keys, k)
	}
	if k == nil {
		return
	}
	for _, ln := range lanes {
		if ln.items[len(ln.items)-1] == k.Item && ln.key != key && len(ln.items)-1 >= own+1 {
			return
		}
	}
	t.Fatalf("%d gives way to key %d, which has %d: %v", k.Item, key, own, lanes)
}

// TestCheckNotices breaks a queue in each way that Check looks for.
func TestCheckNotices(t *testing.T) {
	for what, breakIt := range map[string]func(q *Queue[int, int]){
		"a lane that is not in the ring": func(q *Queue[int, int]) {
			q.lanes[9] = &lane[int, int]{}
		},
		"a ring that goes one way": func(q *Queue[int, int]) { q.turn.next.prev = nil },
		"an item without a way back": func(q *Queue[int, int]) {
			q.turn.items.newest.next.prev = nil
		},
		"an item without a next": func(q *Queue[int, int]) { q.turn.items.newest.next = nil },
		"a lane that miscounts":  func(q *Queue[int, int]) { q.turn.count++ },
		"a queue that miscounts": func(q *Queue[int, int]) { q.count++ },
	} {
		var q Queue[int, int]
		for i := range 6 {
			q.Push(i%2, &Link[int]{Item: i})
		}
		if err := q.Check(); err != nil {
			t.Fatal(err)
		}
		if breakIt(&q); q.Check() == nil {
			t.Errorf("%s is not noticed", what)
		}
	}
}
