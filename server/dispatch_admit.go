package server

import (
	"bytes"

	"mbserver/codec"
	"mbserver/server/limit"
)

// admit says whether a message may pass the rate limits, and answers its sender when not. A message over any limit takes
// from none. Heartbeats always pass. The limits on topics are on publishes and requests of user topics; a response counts
// for its service and the node only.
func (l *loop) admit(c *conn, h *codec.Header, name []byte) bool {
	again := l.pass.covers(c, h, name)
	if again && l.pass.left > 0 {
		l.pass.left--
		return true
	}
	if bytes.Equal(name, heartbeatTopicName) || simfaultBuild && strikes(simSkippedLimit) {
		return true
	}
	l.payPass()
	r, now := l.node.rates, l.time.Ms
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

func (l *loop) limited(c *conn, h *codec.Header, scope string, r limit.Rate, wait int64) bool {
	l.tally[countLimited]++
	l.fail(c, h, codec.RateLimitExceeded, "too many messages per second",
		textDetail("scope", scope), numberDetail("limit", r.Limit()), numberDetail("retryAfterMs", int(wait)))
	return false
}
