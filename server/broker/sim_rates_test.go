package broker

import (
	"slices"
	"strings"

	"mbserver/codec"
	"mbserver/server/config"
)

// simRates are the limits on messages per second, by arithmetic: a bucket is the time at which it
// is full again.
type simRates struct {
	service, topic, total int // messages per second; 0 = any number
	patterns              map[string]int
	buckets               map[string]int64 // 1/rate ms
}

func (s *simulation) newRates() *simRates {
	some := func(least, most int) int {
		if s.chance(40) {
			return 0
		}
		return least + s.random.IntN(most-least)
	}
	return &simRates{
		service: some(3, 60), topic: some(3, 40), total: some(20, 200),
		patterns: map[string]int{"a.#": some(2, 40), "+.b": some(2, 40)},
		buckets:  make(map[string]int64),
	}
}

func (r *simRates) configure(cfg *config.RateLimit) {
	cfg.PerService, cfg.PerTopic, cfg.Total = r.service, r.topic, r.total
	cfg.TopicPerService = r.patterns
}

// pass says whether the bucket has a message at now, and what it is after that one.
func (r *simRates) pass(bucket string, rate int, now int64) (after int64, ok bool) {
	after = max(r.buckets[bucket], now*int64(rate)) + 1000
	return after, rate == 0 || after <= (now+1000)*int64(rate)
}

// limitedBy returns the scope of the limit that the message is over, or "" and takes it from all. A
// message over one takes from none. h is nil for one that cannot be parsed.
func (r *simRates) limitedBy(k *simClient, h *codec.Header) string {
	if r == nil {
		return ""
	}
	now, name := k.loop.time.Ms, "system.nonsense"
	if h != nil {
		name = strings.ToLower(string(h.Topic))
	}
	if name == "system.heartbeat" && h.Action != codec.Publish {
		return ""
	}
	rates := map[string]int{"service " + k.name: r.service}
	if h != nil && h.Action != codec.Response && !strings.HasPrefix(name, "system.") {
		for pattern, rate := range r.patterns {
			if matches(strings.Split(pattern, "."), strings.Split(name, ".")) {
				rates["pattern "+pattern+" "+k.name] = rate
			}
		}
		rates["topic "+name] = r.topic
	}
	rates["node"] = r.total
	var over []string
	for bucket, rate := range rates {
		if _, ok := r.pass(bucket, rate, now); !ok {
			scope, _, _ := strings.Cut(bucket, " ")
			over = append(over, scope)
		}
	}
	for _, scope := range []string{"service", "pattern", "topic", "node"} {
		if slices.Contains(over, scope) {
			if scope == "node" { // the topic's message was taken before, and given back
				r.buckets["topic "+name] = max(r.buckets["topic "+name], now*int64(r.topic))
			}
			return scope
		}
	}
	for bucket, rate := range rates {
		r.buckets[bucket], _ = r.pass(bucket, rate, now)
	}
	return ""
}
