package limit

import (
	"slices"

	"mbserver/topic"
)

// Settings are the limits of one node in messages per second (protocol §9); 0 is no limit.
type Settings struct {
	PerService      int            // of one service
	PerTopic        int            // on one topic, all services together
	Total           int            // of the node
	TopicPerService map[string]int // of one service on all topics that match, by pattern
}

// topicsMax is how many topics may have a bucket of their own at once; those beyond it share one.
const topicsMax = 1 << 16

// Limits are a node's limits and the buckets that its loops share. Any goroutine.
type Limits struct {
	// Immutable after New.
	perService Rate
	total      Rate
	patterns   *Patterns
	loops      int // that share the buckets

	// Any goroutine.
	node   Bucket
	topics *Topics
}

// New returns the limits of a node with that many loops, or nil when every limit is off. The error
// is NewPatterns'.
func New(s Settings, loops int) (*Limits, error) {
	patterns, err := NewPatterns(s.TopicPerService)
	if err != nil {
		return nil, err
	}
	if s.PerService == 0 && s.PerTopic == 0 && s.Total == 0 && patterns.Len() == 0 {
		return nil, nil
	}
	return &Limits{
		perService: PerSecond(s.PerService),
		total:      PerSecond(s.Total),
		patterns:   patterns,
		loops:      loops,
		topics:     NewTopics(PerSecond(s.PerTopic), topicsMax),
	}, nil
}

// Gate is one loop's way through the limits. Loop only.
type Gate struct {
	limits *Limits                // immutable
	topics map[string]*topicState // by canonical topic; bounded by gateTopicsMax
	credit credit
}

// NewGate returns a loop's gate. l is not nil.
func (l *Limits) NewGate() *Gate { return &Gate{limits: l} }

// gateTopicsMax is how many topics a gate remembers; what it forgets costs a look-up.
const gateTopicsMax = 1 << 14

// topicState is what a gate remembers of one topic: its bucket and which patterns match it.
type topicState struct {
	bucket   *Bucket
	patterns []int
}

// Own is the buckets of one connection. The zero value is full. Loop only.
type Own struct {
	all      Local
	patterns *[]Local // by index in Limits.patterns; made when the first pattern matches
}

// Message is what the limits look at.
type Message struct {
	Topic    []byte // canonical
	Response bool   // counts for its service and the node only
	System   bool   // to the node itself: likewise
}

// Refusal says which limit a message is over.
type Refusal struct {
	Scope   string // "service", "role", "pattern", "topic" or "node"
	Rate    Rate
	WaitMs  int64          // until there is room again
	Pattern *topic.Pattern // the limit's; nil: it has none. Immutable
}

// Admit says whether a message of own's connection may pass at nowMs, the loop's clock. A message
// over any limit takes from none.
func (g *Gate) Admit(own *Own, m Message, nowMs int64) (over Refusal, ok bool) {
	again := g.credit.covers(own, m)
	if again && g.credit.left > 0 {
		g.credit.left--
		return Refusal{}, true
	}
	g.settle(nowMs)
	l := g.limits
	if wait, ok := own.all.Check(l.perService, nowMs); !ok {
		return Refusal{Scope: "service", Rate: l.perService, WaitMs: wait}, false
	}
	var t *topicState
	if !m.Response && !m.System {
		t = g.topic(m.Topic)
		if over, ok = g.admitTopic(own, t, m.Topic, nowMs); !ok {
			return over, false
		}
	}
	if wait, ok := l.node.Take(l.total, nowMs); !ok {
		if t != nil && t.bucket != nil {
			t.bucket.Give(l.topics.Rate())
		}
		return Refusal{Scope: "node", Rate: l.total, WaitMs: wait}, false
	}
	own.all.Take(l.perService, nowMs)
	if t != nil {
		for _, i := range t.patterns {
			(*own.patterns)[i].Take(l.patterns.Rate(i), nowMs)
		}
	}
	if again { // the second like it: there are probably more
		g.lend(t, nowMs)
	} else {
		g.credit.remember(own, m)
	}
	return Refusal{}, true
}

// admitTopic holds a message against the limits on its topic: it takes from the topic's, and only
// looks at those of the patterns.
func (g *Gate) admitTopic(own *Own, t *topicState, name []byte, now int64) (over Refusal, ok bool) {
	l := g.limits
	if len(t.patterns) > 0 && own.patterns == nil {
		buckets := make([]Local, l.patterns.Len())
		own.patterns = &buckets
	}
	for _, i := range t.patterns {
		if wait, ok := (*own.patterns)[i].Check(l.patterns.Rate(i), now); !ok {
			row := &l.patterns.rows[i]
			return Refusal{"pattern", row.rate, wait, &row.pattern}, false
		}
	}
	if wait, ok := l.topics.Take(&t.bucket, name, now); !ok {
		return Refusal{Scope: "topic", Rate: l.topics.Rate(), WaitMs: wait}, false
	}
	return Refusal{}, true
}

func (g *Gate) topic(name []byte) *topicState {
	if t := g.topics[string(name)]; t != nil {
		return t
	}
	if g.topics == nil || len(g.topics) >= gateTopicsMax {
		g.topics = make(map[string]*topicState)
	}
	t := &topicState{patterns: slices.Clone(g.limits.patterns.Matching(name))}
	g.topics[string(name)] = t
	return t
}
