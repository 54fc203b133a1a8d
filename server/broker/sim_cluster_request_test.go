package broker

import (
	"fmt"
	"slices"
	"strings"

	"mbserver/codec"
)

// crossRequest is one request that a node has taken.
type crossRequest struct {
	key, id, topic string
	from           *crossClient
	node           *simNode
	at, deadline   int64
	probe          bool

	sure       []*crossClient // services of which its node knows
	all        int            // services anywhere
	target     *crossClient
	givenAt    int64 // when it got it
	masked     string
	right      string // the target's answer
	rightAt    int64
	answers    int
	answeredAt int64
	outcome    string
}

var (
	askedTopics   = []string{"r.a", "r.b", "R.b.c"}
	servePatterns = []string{"r.a", "r.+", "r.#", "r.b"}
)

// serve subscribes to requests.
func (k *crossClient) serve(pattern string) {
	if slices.ContainsFunc(k.serves, func(sub *crossSub) bool { return sub.pattern == pattern }) {
		return
	}
	k.s.say("%s serves %s", k.name, pattern)
	if len(k.serves) == 0 && k.s.chance(40) {
		k.most, k.mostAt = 1+k.s.random.IntN(3), k.s.now
		k.call("system.service.register", fmt.Sprintf(
			`{"name":%q,"description":"a service","maxConcurrent":%d}`, k.name, k.most), nil)
	}
	sub := &crossSub{pattern: pattern}
	k.serves = append(k.serves, sub)
	k.served = append(k.served, sub)
	k.call("system.topic.subscribe", fmt.Sprintf(
		`{"action":"request","topic":%q,"priority":%d}`, pattern, k.s.random.IntN(2)), sub)
}

// unserve ends one.
func (k *crossClient) unserve(sub *crossSub) {
	k.s.say("%s serves %s no more", k.name, sub.pattern)
	k.serves = slices.DeleteFunc(k.serves, func(s *crossSub) bool { return s == sub })
	k.call("system.topic.unsubscribe",
		fmt.Sprintf(`{"action":"request","topic":%q}`, sub.pattern), nil)
}

// takes says whether one of the subscriptions takes a topic.
func takes(subs []*crossSub, topic string) bool {
	return slices.ContainsFunc(subs, func(sub *crossSub) bool { return sub.takes(topic) })
}

// ask sends a request.
func (k *crossClient) ask(topic string, timeout int64) *crossRequest {
	s := k.s
	k.seq++
	r := &crossRequest{
		key: fmt.Sprintf("%s.%d", k.name, k.seq), id: s.ids.next(), topic: topic, from: k,
		node: k.node, at: s.now, deadline: s.now + timeout,
	}
	s.requests[r.key], s.byID[r.id] = r, r
	for _, c := range s.places {
		if c != nil && takes(c.serves, topic) {
			r.all++
		}
		for i := 0; c != nil && i < len(c.serves); i++ {
			sub := c.serves[i]
			near := c.node == r.node || sub.full && c.node.well() && r.node.well()
			if sub.takes(topic) && near && !slices.Contains(r.sure, c) {
				r.sure = append(r.sure, c)
			}
		}
	}
	s.say("%s asks %s on %s of %d, for %d ms", k.name, r.key, topic, r.all, timeout)
	k.send(fmt.Sprintf("request:%s:1.2.3:%s::%d\n%s|", topic, r.id, timeout, r.key))
	// Its time counts from when its loop last looked at the clock, which was held up since.
	r.deadline = min(r.deadline, k.node.born+k.loop.time.Ms+timeout)
	return r
}

// receivedRequest judges a request that a service gets: nobody else has, nor was it answered.
func (k *crossClient) receivedRequest(m *testMessage) {
	s := k.s
	r := s.requests[messageKey(m.payload)]
	if r == nil {
		s.fail("%s received a request that nobody made: %s", k.name, m.header)
	}
	s.say("%s is asked %s", k.name, r.key)
	if r.target != nil {
		s.fail("%s received %s, which %s has received", k.name, r.key, r.target.name)
	}
	if !takes(k.served, r.topic) || string(m.Topic) != r.topic {
		s.fail("%s received %s without a subscription", k.name, r.key)
	}
	late := r.answers > 0 && s.now > r.answeredAt+20 || s.now > r.deadline+20
	if late && r.node.well() && k.node.well() {
		s.fail("%s received %s, which ended at %d or %d", k.name, r.key, r.answeredAt, r.deadline)
	}
	r.target, r.masked, r.givenAt = k, string(m.RequestID), s.now
	if r.node == k.node {
		s.totals["request here"]++
	} else {
		s.totals["request across"]++
	}
	k.checkRoom()
	if s.ops && s.chance(12) {
		return // it never answers
	}
	s.after(s.random.Int64N(40), func() { k.respond(r) })
}

// checkRoom holds that a service has no more requests than it takes at a time, but for room that
// was kept for other nodes before it said so. Those of a node that its own has taken for gone
// meanwhile it has no more.
func (k *crossClient) checkRoom() {
	has := 0
	for _, r := range k.s.requests {
		ended := r.answers > 0 || r.from.gone || k.s.now >= r.deadline-1
		ended = ended || r.node != k.node && k.node.parted[r.node.inc] >= r.givenAt
		if r.target == k && r.right == "" && !ended {
			has++
		}
	}
	if k.most > 0 && has > k.most && k.s.now-k.mostAt > 2*holdTime {
		k.s.fail("%s has %d requests at a time, and takes %d", k.name, has, k.most)
	}
}

// respond answers a request.
func (k *crossClient) respond(r *crossRequest) {
	s := k.s
	switch {
	case k.gone || k.node.ended:
		return
	case k.node.still:
		s.after(50, func() { k.respond(r) })
		return
	}
	s.say("%s answers %s", k.name, r.key)
	r.right, r.rightAt = r.key+"|answer", s.now
	s.responses[r.masked] = r
	k.send("response:" + r.topic + ":1.0.0:" + r.masked + "\n" + r.right)
}

// answered judges the answer to a request.
func (s *clusterSim) answered(
	k *crossClient, r *crossRequest, m *testMessage, code, reason string,
) {
	r.answers++
	r.answeredAt = s.now
	r.outcome = strings.TrimSpace(code + " " + reason)
	s.say("%s is answered: %s", r.key, r.outcome)
	if r.from != k || r.answers > 1 || string(m.Topic) != r.topic {
		s.fail("%s: answer %d: %s", r.key, r.answers, m.header)
	}
	wrong := ""
	switch r.outcome {
	case "":
		if r.outcome = "answer"; r.right == "" || string(m.payload) != r.right {
			wrong = "its target did not say that"
		}
	case string(codec.Timeout):
		switch {
		case s.now < r.deadline-1:
			wrong = "it has time"
		case s.tight: // the answer may be lost, for want of room
		case r.rightAt > 0 && r.rightAt < r.deadline-30 && r.node.wellAt(r.rightAt) &&
			r.target.node.wellAt(r.rightAt): // else it may, too, on its way
			wrong = "it was answered in time"
		}
	case string(codec.NoRouteFound):
		for _, c := range r.sure {
			apart := c.node != r.node && c.node.displacedAt+r.node.displacedAt != 0
			if !c.gone && !apart && takes(c.serves, r.topic) {
				wrong = c.name + " could have answered"
			}
		}
	case "SERVICE_UNAVAILABLE node_lost":
		if r.node.partedAt < r.at {
			wrong = "no node was lost"
		}
	case "SERVICE_UNAVAILABLE disconnected":
		if r.target != nil && !r.target.gone {
			wrong = "it is still there"
		}
	case "SERVICE_UNAVAILABLE busy", "SERVICE_UNAVAILABLE queue_full":
	default:
		wrong = "no such answer is foreseen"
	}
	s.totals["asked: "+r.outcome]++
	if r.probe && r.all > 0 && r.outcome != "answer" {
		wrong = "all is well"
	}
	if r.probe && r.all == 0 && r.outcome != string(codec.NoRouteFound) {
		wrong = "nobody takes it"
	}
	if wrong != "" {
		s.fail("%s was answered %q: %s\n%.200s", r.key, r.outcome, wrong, m.payload)
	}
}

// checkRequests holds that all have ended, each once.
func (s *clusterSim) checkRequests() {
	for _, r := range s.requests {
		if r.answers != 1 && !r.from.gone {
			s.fail("%s: %d answers", r.key, r.answers)
		}
	}
	for _, n := range s.all() {
		if left := n.outstanding.Load() + n.queued.Load(); left != 0 {
			s.fail("%s: %d requests are outstanding or wait for ever", n.name, left)
		}
		for _, l := range n.loops {
			t := &l.outstanding
			if t.count != 0 || len(t.free)+len(t.given) != len(t.slots) {
				s.fail("%s, loop %d: the table of requests is not empty", n.name, l.index)
			}
		}
		n.others.mu.Lock()
		for _, far := range n.others.nodes {
			for _, service := range far.services {
				if left := service.outstanding.Load(); left != 0 && !far.marked(markLeft) {
					s.fail("%s takes %s elsewhere to have %d requests", n.name, service.id, left)
				}
			}
		}
		n.others.mu.Unlock()
	}
	for _, k := range s.places {
		if k != nil && k.outstanding.Load() != 0 {
			s.fail("%s has %d requests for ever", k.name, k.outstanding.Load())
		}
	}
}
