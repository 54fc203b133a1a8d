package server

import (
	"mbserver/server/config"
	"mbserver/server/limit"
	"slices"
)

// rates are the node's limits on messages per second (protocol §9). Immutable, but for the buckets.
type rates struct {
	perService limit.Rate
	total      limit.Rate
	node       limit.Bucket
	topics     *limit.Topics
	patterns   *limit.Patterns
}

// rateTopicsMax is how many topics may have a bucket of their own at once; those beyond it share one.
const rateTopicsMax = 1 << 16

// newRates returns nil when every limit is off: then a message costs one comparison.
func newRates(cfg config.RateLimit) (*rates, error) {
	patterns, err := limit.NewPatterns(cfg.TopicPerService)
	if err != nil {
		return nil, err
	}
	if cfg.PerService == 0 && cfg.PerTopic == 0 && cfg.Total == 0 && patterns.Len() == 0 {
		return nil, nil
	}
	return &rates{
		perService: limit.PerSecond(cfg.PerService),
		total:      limit.PerSecond(cfg.Total),
		topics:     limit.NewTopics(limit.PerSecond(cfg.PerTopic), rateTopicsMax),
		patterns:   patterns,
	}, nil
}

// topicRates is what a loop remembers of one topic: its bucket and which patterns match it. Loop only.
type topicRates struct {
	bucket   *limit.Bucket
	patterns []int
}

// serviceRates are one connection's own buckets. Loop only.
type serviceRates struct {
	all      limit.Local
	patterns *[]limit.Local // by index in rates.patterns; made when the first pattern matches
}

// topicRatesOf returns what this loop knows of a topic's limits. The table is bounded like the match cache; what it forgets
// costs a look-up.
func (l *loop) topicRatesOf(name []byte) *topicRates {
	if t := l.rates[string(name)]; t != nil {
		return t
	}
	if l.rates == nil || len(l.rates) >= matchCacheLimit {
		l.rates = make(map[string]*topicRates)
	}
	t := &topicRates{patterns: slices.Clone(l.node.rates.patterns.Matching(name))}
	l.rates[string(name)] = t
	return t
}
