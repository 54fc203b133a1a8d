package system

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/topic"
)

// Snapshot is an answer that is the same for all who ask for it: what it is made of is walked once,
// beside the loops, for all of them.
type Snapshot uint8

// The snapshots. A service's subscriptions are one for each service.
const (
	ServicesSnapshot               Snapshot = iota // system.service.list
	FullServicesSnapshot                           // the same, with what not everybody may see
	NodeServicesSnapshot                           // as ServicesSnapshot, of this node alone
	FullNodeServicesSnapshot                       // as FullServicesSnapshot, of this node alone
	TopicsSnapshot                                 // system.topic.list
	TopicSubscriptionsSnapshot                     // system.topic.subscriptions
	NodeTopicSubscriptionsSnapshot                 // the same, of this node alone
	MetricsSnapshot                                // system.metrics
	FullMetricsSnapshot                            // system.metrics with showAll
	SubscriptionsSnapshot                          // system.service.subscriptions
)

// Fresh says that an answer begins with what is composed anew for those who have asked by then: see
// AppendHead.
func (s Snapshot) Fresh() bool { return s == MetricsSnapshot || s == FullMetricsSnapshot }

// AppendHead appends what stands before a snapshot in the answer: the numbers of the node, in which
// is what each of those who get it did before. Nothing for most. Any goroutine.
func (s Snapshot) AppendHead(b []byte, n Node, now time.Time) []byte {
	if !s.Fresh() {
		return b
	}
	w := metrics.Writer{JSON: append(b, metricsStart...), Full: s == FullMetricsSnapshot}
	w.WriteNode(n.Sample(now))
	return w.JSON
}

// Append composes a snapshot but for its head. Of SubscriptionsSnapshot, AppendSubscriptions is the
// one that does. Any goroutine.
func (s Snapshot) Append(b []byte, n Node, now time.Time) []byte {
	switch s {
	case ServicesSnapshot, FullServicesSnapshot:
		return appendServices(b, n, now, s == FullServicesSnapshot, false)
	case NodeServicesSnapshot, FullNodeServicesSnapshot:
		return appendServices(b, n, now, s == FullNodeServicesSnapshot, true)
	case TopicsSnapshot:
		return appendTopics(b, n)
	case TopicSubscriptionsSnapshot, NodeTopicSubscriptionsSnapshot:
		return appendTopicSubscriptions(b, n, s == NodeTopicSubscriptionsSnapshot)
	}
	w := metrics.Writer{JSON: b, Full: s == FullMetricsSnapshot, Later: true}
	n.Services(now, func(sv *Service) { w.WriteService(now, measured(sv)) })
	return append(w.JSON, metricsEnd...)
}

// appendServices lists services; alone: those of this node.
func appendServices(b []byte, n Node, now time.Time, full, alone bool) []byte {
	b = append(b, `{"status":"success","services":[`...)
	list := func(s *Service) { b = append(s.append(b, full), ',') }
	n.Services(now, list)
	if !alone {
		n.ServicesAbroad(list)
	}
	return endList(b)
}

// endList ends a list whose elements each have a comma behind them.
func endList(b []byte) []byte {
	if last := len(b) - 1; b[last] == ',' {
		b = b[:last]
	}
	return append(b, `]}`...)
}

// appendTopics lists the patterns, sorted, each once.
func appendTopics(b []byte, n Node) []byte {
	var names []string
	n.Walk(func(p topic.Pattern, _ topic.Kind) { names = append(names, p.String()) })
	slices.Sort(names)
	b = append(b, `{"status":"success","topics":[`...)
	for _, name := range slices.Compact(names) {
		b = append(codec.AppendJSONQuoted(b, name), ',')
	}
	return endList(b)
}

// appendTopicSubscriptions lists patterns and who is subscribed to them, sorted by topic, then
// action; alone: those of this node.
func appendTopicSubscriptions(b []byte, n Node, alone bool) []byte {
	type entry struct {
		pattern topic.Pattern
		kind    topic.Kind
	}
	var entries []entry
	n.Walk(func(p topic.Pattern, k topic.Kind) { entries = append(entries, entry{p, k}) })
	slices.SortFunc(entries, func(a, b entry) int {
		if d := strings.Compare(a.pattern.String(), b.pattern.String()); d != 0 {
			return d
		}
		return int(a.kind) - int(b.kind)
	})
	b = append(b, `{"status":"success","subscriptions":[`...)
	var subs []Subscriber
	for _, e := range entries {
		subs = n.Subscribers(e.pattern, e.kind, subs[:0])
		if alone {
			subs = slices.DeleteFunc(subs, func(s Subscriber) bool { return s.Abroad })
		}
		// Whoever has left since is not in it; when that is everybody, neither is the pattern.
		if len(subs) == 0 {
			continue
		}
		if e.kind == topic.Request { // by priority, highest first
			slices.SortStableFunc(subs, func(a, b Subscriber) int {
				return cmp.Compare(b.Priority, a.Priority)
			})
		}
		b = append(appendSubscribers(b, e.pattern, e.kind, subs), ',')
	}
	return endList(b)
}

func appendSubscribers(b []byte, p topic.Pattern, k topic.Kind, subs []Subscriber) []byte {
	b = append(b, `{"action":"`...)
	b = append(b, k.String()...)
	b = append(b, `","topic":`...)
	b = codec.AppendJSONQuoted(b, p.String())
	b = append(b, `,"subscribers":[`...)
	for i, s := range subs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		from := len(b)
		if s.ID != (codec.UUID{}) {
			b = append(s.ID.Append(append(b, `,"serviceId":"`...)), '"')
			b = appendPriority(b, k, s.Priority)
		}
		b = append(appendNodeID(b, s.Node), '}')
		if b[from] == ',' { // before the first member
			b = slices.Delete(b, from, from+1)
		}
	}
	return append(b, `]}`...)
}

// AppendSubscriptions composes SubscriptionsSnapshot of a service, sorted by topic, then action. It
// sorts subs. node is the one that it is connected to, zero where there is no other; abroad: it is
// another one, which tells of subscriptions for requests alone.
func AppendSubscriptions(b []byte, subs []Subscription, node codec.UUID, abroad bool) []byte {
	slices.SortFunc(subs, func(a, b Subscription) int {
		if d := strings.Compare(a.Pattern.String(), b.Pattern.String()); d != 0 {
			return d
		}
		return int(a.Kind) - int(b.Kind)
	})
	b = appendNodeID(append(b, `{"status":"success"`...), node)
	if abroad {
		b = append(b, `,"partial":true`...)
	}
	b = append(b, `,"subscriptions":[`...)
	for i := range subs {
		b = append(b, `{"action":"`...)
		b = append(b, subs[i].Kind.String()...)
		b = append(b, `","topic":`...)
		b = codec.AppendJSONQuoted(b, subs[i].Pattern.String())
		b = appendPriority(b, subs[i].Kind, subs[i].Priority)
		b = append(b, '}', ',')
	}
	return endList(b)
}
