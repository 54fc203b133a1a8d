package server

import (
	"bytes"
	"slices"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/server/limit"
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

// admit says whether a message may pass the rate limits, and answers its sender when not. A message over any limit takes
// from none. Heartbeats always pass. The limits on topics are on publishes and requests of user topics; a response counts
// for its service and the node only.
func (l *loop) admit(c *conn, h *codec.Header, name []byte) bool {
	again := l.pass.covers(c, h, name)
	if again && l.pass.left > 0 {
		l.pass.left--
		return true
	}
	if bytes.Equal(name, heartbeatTopicName) || simFault && strikes(faultSkippedLimit) {
		return true
	}
	l.payPass()
	r, now := l.node.rates, l.time.ms
	if wait, ok := c.rates.all.Check(r.perService, now); !ok {
		return l.limited(c, h, "service", r.perService, wait)
	}
	var t *topicRates
	if h.Action != codec.Response && !isSystem(name) {
		t = l.topicRatesOf(name)
		if len(t.patterns) > 0 && c.rates.patterns == nil {
			buckets := make([]limit.Local, r.patterns.Len())
			c.rates.patterns = &buckets
		}
		for _, i := range t.patterns {
			if wait, ok := (*c.rates.patterns)[i].Check(r.patterns.Rate(i), now); !ok {
				return l.limited(c, h, "pattern", r.patterns.Rate(i), wait)
			}
		}
		if wait, ok := r.topics.Take(&t.bucket, name, now); !ok {
			return l.limited(c, h, "topic", r.topics.Rate(), wait)
		}
	}
	if wait, ok := r.node.Take(r.total, now); !ok {
		if t != nil && t.bucket != nil {
			t.bucket.Give(r.topics.Rate())
		}
		return l.limited(c, h, "node", r.total, wait)
	}
	c.rates.all.Take(r.perService, now)
	if t != nil {
		for _, i := range t.patterns {
			(*c.rates.patterns)[i].Take(r.patterns.Rate(i), now)
		}
	}
	if again { // the second like it: there are probably more
		l.grant(t)
	} else {
		l.pass.c, l.pass.response, l.pass.name = c, h.Action == codec.Response, append(l.pass.name[:0], name...)
	}
	return true
}

var heartbeatTopicName = []byte(heartbeatTopic)

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

func (l *loop) limited(c *conn, h *codec.Header, scope string, r limit.Rate, wait int64) bool {
	l.tally[countLimited]++
	l.fail(c, h, codec.RateLimitExceeded, "too many messages per second",
		textDetail("scope", scope), numberDetail("limit", r.Limit()), numberDetail("retryAfterMs", int(wait)))
	return false
}
