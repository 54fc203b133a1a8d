package broker

import (
	"container/heap"

	"mbserver/server/fair"
)

// ages are a loop's outstanding requests by age, so that the oldest is known. Requests come in
// order from each loop, this one too: one list for each takes them at its end. What comes out of
// order has waited in a queue, was held back with its requester, or was on its way to a service
// that had left: a heap takes that. So the usual request costs two links, the others the logarithm
// of how many of them there are. Loop only.
type ages struct {
	lists []fair.List[*entry] // by the loop of the requester; grown when one is needed
	late  lateEntries
}

// lateEntries is a heap, the oldest first (container/heap).
type lateEntries []*entry

func (h lateEntries) Len() int           { return len(h) }
func (h lateEntries) Less(i, j int) bool { return h[i].arrived < h[j].arrived }

func (h lateEntries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].late, h[j].late = int32(i+1), int32(j+1)
}

// Push implements heap.Interface.
func (h *lateEntries) Push(x any) {
	e := x.(*entry)
	*h = append(*h, e)
	e.late = int32(len(*h))
}

// Pop implements heap.Interface.
func (h *lateEntries) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.late = 0
	return e
}

// lateKeep is how many late entries an empty heap keeps room for.
const lateKeep = 256

// add takes e, whose requester and arrival are known.
func (a *ages) add(e *entry) {
	origin := e.requester.loop.index
	for len(a.lists) <= origin {
		a.lists = append(a.lists, fair.List[*entry]{})
	}
	list := &a.lists[origin]
	if last := list.Last(); last != nil && last.Item.arrived > e.arrived {
		heap.Push(&a.late, e)
		return
	}
	list.Push(&e.age)
}

// remove takes e out.
func (a *ages) remove(e *entry) {
	if e.late == 0 {
		a.lists[e.requester.loop.index].Remove(&e.age)
		return
	}
	heap.Remove(&a.late, int(e.late-1))
	if len(a.late) == 0 && cap(a.late) > lateKeep {
		a.late = nil
	}
}

// oldest returns the request that has been outstanding for the longest time, or nil.
func (a *ages) oldest() (oldest *entry) {
	if len(a.late) > 0 {
		oldest = a.late[0]
	}
	for i := range a.lists {
		if k := a.lists[i].First(); k != nil && (oldest == nil || k.Item.arrived < oldest.arrived) {
			oldest = k.Item
		}
	}
	return oldest
}
