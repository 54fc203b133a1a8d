package broker

import (
	"context"
	"runtime"
	"sync"
	"time"

	"mbserver/server/census"
	"mbserver/topic"
)

// Rates of topics: how many messages a second there are on what a pattern matches.
//
// Purpose. An operator sees which topics the traffic is on, exactly, and nobody pays for it.
//
// Outline. A loop counts each message at the name of its topic, which it has just looked up
// (topic.Cache.Count). Who asks has every loop hand over what it has counted since it was asked
// last, a part in each turn (takeTopics), and finds the patterns of the rows that it shows by a
// trie of its own (rate). For a second the others who ask see the same.
//
// Bounds. A loop remembers some thousand names: messages on others, which gave way before anybody
// asked, are told as a number. So are those on more names than countedMost.
//
// Cost. An addition for each message. A loop looks at countedTurn names in a turn while somebody
// asks, which takes some microseconds. What was counted is kept until nobody has asked for
// censusKept.
type topicTakings struct {
	mu sync.Mutex
	// Guarded by mu, which is held while loops are asked.
	at        time.Time        // when it was taken; zero: never
	seconds   float64          // that were counted
	publishes []topic.Counted  // nil: nothing is kept
	requests  []topic.Counted  // of the same time
	part      []topic.Counted  // what a loop fills
	forgotten uint64           // messages on names that are in neither
	forget    *time.Timer      // nil: nothing is kept
	told      chan countedPart // from loops
}

// countedPart is what a loop has handed over.
type countedPart struct {
	counts    []topic.Counted
	next      int
	forgotten uint64
}

const (
	countedTurn = 1024
	countedMost = 1 << 16 // names of each kind, in a node
)

// rateTopics fills in the rates of found. The error is census.ErrBusy, when ctx has ended.
func (b *Broker) rateTopics(ctx context.Context, found *census.Branches, now time.Time) error {
	t := &b.topics
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.forget == nil {
		t.forget = time.AfterFunc(censusKept, t.drop)
	} else {
		t.forget.Reset(censusKept)
	}
	if now.Sub(t.at) >= censusRest || t.publishes == nil {
		if err := b.takeTopics(ctx, now); err != nil {
			return err
		}
	}
	found.Seconds = t.seconds
	found.Forgotten = t.perSecond(t.forgotten)
	t.rate(found)
	return ctx.Err()
}

func (t *topicTakings) perSecond(n uint64) float64 {
	if t.seconds <= 0 {
		return 0
	}
	return float64(n) / t.seconds
}

// takeTopics takes what loops have counted. mu is held.
func (b *Broker) takeTopics(ctx context.Context, now time.Time) error {
	t := &b.topics
	since := t.at
	if since.IsZero() {
		since = time.UnixMilli(b.openedAt.Load())
	}
	// What of it comes is good even if not all does: it is counted from here on.
	t.at, t.seconds = now, max(now.Sub(since).Seconds(), 0)
	t.publishes, t.requests, t.forgotten = t.publishes[:0], t.requests[:0], 0
	for _, l := range b.loops {
		for _, kind := range []topic.Kind{topic.Publish, topic.Request} {
			for next, more := 0, true; more; more = next > 0 {
				part, err := t.ask(ctx, l, kind, next)
				if err != nil {
					t.publishes = nil
					return err
				}
				t.keep(kind, part)
				next = part.next
			}
		}
	}
	if t.publishes == nil {
		t.publishes = []topic.Counted{}
	}
	return nil
}

// ask has a loop hand over a part of what it has counted.
func (t *topicTakings) ask(
	ctx context.Context, l *Loop, kind topic.Kind, from int,
) (part countedPart, err error) {
	if t.part == nil {
		t.part, t.told = make([]topic.Counted, 0, countedTurn), make(chan countedPart, 1)
	}
	dst, told := t.part[:0], t.told
	l.call(func(l *Loop) {
		p := countedPart{}
		if kind == topic.Publish {
			p.counts, p.next = l.routes.publishes.TakeCounts(dst, from, countedTurn)
			p.forgotten = l.routes.publishes.TakeForgotten()
		} else {
			p.counts, p.next = l.routes.requests.TakeCounts(dst, from, countedTurn)
			p.forgotten = l.routes.requests.TakeForgotten()
		}
		told <- p
	})
	select {
	case part = <-told:
		return part, nil
	case <-ctx.Done():
		t.part, t.told = nil, nil // the loop still has them
		return part, census.ErrBusy
	}
}

// keep adds a part of what a loop has counted.
func (t *topicTakings) keep(kind topic.Kind, part countedPart) {
	to := &t.publishes
	if kind == topic.Request {
		to = &t.requests
	}
	t.forgotten += part.forgotten
	n := min(len(part.counts), countedMost-len(*to))
	*to = append(*to, part.counts[:n]...)
	for _, one := range part.counts[n:] {
		t.forgotten += one.Count
	}
}

// rate gives each row of found the messages on what it matches; on what is below it too where there
// are more patterns.
func (t *topicTakings) rate(found *census.Branches) {
	rows := topic.NewTrie[int]()
	for i := range found.List {
		row, name := &found.List[i], found.List[i].Topic
		if row.Below {
			name += ".#"
		}
		if p, err := topic.ParsePattern(name); err == nil {
			rows.Subscribe(p, topic.Publish, i, topic.Options{})
		}
	}
	var matches []topic.Match[int]
	for _, of := range []struct {
		counts []topic.Counted
		rate   func(*census.Branch) *float64
	}{
		{t.publishes, func(row *census.Branch) *float64 { return &row.PublishRate }},
		{t.requests, func(row *census.Branch) *float64 { return &row.RequestRate }},
	} {
		for i, one := range of.counts {
			if i%censusLook == 0 {
				runtime.Gosched()
			}
			matches, _ = rows.Match([]byte(one.Name), topic.Publish, matches[:0])
			for _, m := range matches {
				*of.rate(&found.List[m.Sub]) += t.perSecond(one.Count)
			}
		}
	}
}

// stop ends the wait for nobody to ask. Who asks a loop that has ended is not waited for: the timer
// does no harm.
func (t *topicTakings) stop() {
	if !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	if t.forget != nil {
		t.forget.Stop()
	}
}

// drop forgets what was counted: nobody has asked for long.
func (t *topicTakings) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.publishes, t.requests, t.part, t.told = nil, nil, nil, nil
}
