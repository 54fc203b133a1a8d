package broker

import (
	"context"
	"runtime"
	"time"

	"mbserver/server/census"
	"mbserver/server/metrics"
	"mbserver/topic"
)

// LoopsNow shows the loops, by their index. Any goroutine.
func (b *Broker) LoopsNow(now time.Time) []census.Loop {
	all := make([]census.Loop, 0, len(b.loops))
	for _, l := range b.loops {
		all = append(all, l.census(now))
	}
	return all
}

// census is what may be told of a loop. Any goroutine.
func (l *Loop) census(now time.Time) census.Loop {
	var totals, rates metrics.Counts
	var times metrics.TimesSample
	l.published.AddTotals(&totals)
	l.published.AddRates(now.Unix(), &rates)
	l.published.Times.AddTo(&times)
	s := census.Loop{
		Index: l.index, Connections: l.load.Load(),
		InboxBytes: l.inbox.waiting.Load(), InboxHeldBytes: l.inbox.held.Load(),
		InboxLimitBytes: int64(l.broker.inboxBytes),
		ChargedBytes:    l.charged.Load(), LaggingBytes: l.lagging.Load(),
		MaxBacklogBytes: totals[metrics.Backlog], RouteTargets: l.routes.targets.Load(),
		Turns:       times.Count(metrics.TurnTime),
		TurnSeconds: times[metrics.TurnTime].Sum,
		TurnP50:     times.Quantile(metrics.TurnTime, 0.5),
		TurnP99:     times.Quantile(metrics.TurnTime, 0.99),
		Busy:        l.pulse.gives.Load(),
		Messages:    totals[metrics.Messages], Sent: totals[metrics.Sent],
		Dropped:     totals[metrics.Dropped],
		MessageRate: rates[metrics.Messages], SentRate: rates[metrics.Sent],
		DroppedRate:     rates[metrics.Dropped],
		SlowConnections: totals[metrics.Slow], UnreadConnections: totals[metrics.Unread],
	}
	if began := l.pulse.began.Load(); began != 0 {
		s.Running = time.Duration(max(l.driver.Now().Ns-began, 0))
	}
	return s
}

// Topics looks at the patterns that somebody is subscribed to. It takes a while, and ends with ctx:
// the error is census.ErrBusy then. Any goroutine but a loop's.
func (b *Broker) Topics(
	ctx context.Context, q *census.Topics, now time.Time,
) (*census.Branches, error) {
	found := census.NewBranches(q)
	seen := 0
	b.trie.Walk(func(p topic.Pattern, _ topic.Kind) bool {
		if seen++; seen%censusLook == 0 {
			runtime.Gosched()
		}
		found.Add(p.String())
		return ctx.Err() == nil
	})
	if ctx.Err() != nil {
		return nil, census.ErrBusy
	}
	found.End(func(name string) (publish, request int) {
		p, err := topic.ParsePattern(name)
		if err != nil {
			return 0, 0 // levels of a pattern that are none by themselves
		}
		return b.trie.SubscriberCount(p, topic.Publish), b.trie.SubscriberCount(p, topic.Request)
	})
	if err := b.rateTopics(ctx, found, now); err != nil {
		return nil, census.ErrBusy
	}
	return found, nil
}

// SubscribersOf shows f who is subscribed to a pattern, in no order; action is publish or request.
// Any goroutine but a loop's.
func (b *Broker) SubscribersOf(pattern, action string, f func(*census.Subscriber)) error {
	p, err := topic.ParsePattern(pattern)
	if err != nil {
		return err
	}
	kind := topic.Publish
	if action == topic.Request.String() {
		kind = topic.Request
	}
	for _, m := range b.trie.Subscribers(p, kind, nil) {
		if m.Sub.marked(markLeft) {
			continue
		}
		s := census.Subscriber{ID: m.Sub.id, Priority: m.Options.Priority}
		s.Node, _ = b.nodeOf(m.Sub)
		if known := m.Sub.profile(); known != nil {
			s.Name = known.Name
		}
		f(&s)
	}
	return nil
}
