package broker

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"mbserver/server/metrics"
)

// simSystem is what a run varies of the node's own answers, drawn from randomness of its own.
type simSystem struct {
	drift   time.Duration // how far the clock beside the loops is ahead
	snapped int           // lists that were received
	lists   *rand.Rand    // of how often lists are asked for; nil: seldom
}

// arrangeSystem has those who leave be forgotten in pieces, subscriptions be few, and snapshots
// take time, so that they are shared.
func (s *simulation) arrangeSystem() {
	random := rand.New(rand.NewPCG(s.seed, 9))
	if random.IntN(2) == 0 {
		s.n.endsTurn = 1 + random.IntN(3)
	}
	if random.IntN(4) == 0 {
		s.n.subsMax = 2 + random.IntN(4)
	}
	if random.IntN(3) == 0 {
		s.lists = random
	}
	if random.IntN(4) == 0 {
		s.n.remembers = int64(1000 + random.IntN(10_000))
	}
	if random.IntN(2) == 0 {
		s.n.background.now = func() time.Time {
			s.drift += time.Duration(random.IntN(3)) * time.Millisecond
			return time.UnixMilli(testEpoch + s.n.ms).Add(s.drift)
		}
	}
	if s.memory { // beside what everybody's subscriptions and profiles take
		per := (&subscription{}).charge() + 2*len("x.y.z.a.b")
		more := int64(len(s.places) * (2*len(simPatterns)*per + 1<<10) / 4)
		s.n.budget.high, s.n.budget.low = s.n.budget.high+more, s.n.budget.low+more
	}
}

// heldBeside is what is charged of a loop for what its connections asked the node to remember.
func (s *simulation) heldBeside(l *Loop) (sum int64) {
	for _, c := range l.conns {
		if c == nil {
			continue
		}
		kept := 0
		for _, sub := range c.subs.all() {
			kept += sub.charge()
		}
		if c.state == stateOpen || c.state == stateClosing {
			kept += c.profile().Charge()
			if p := c.particulars.Load(); p != nil && p.answers.Load() != nil {
				kept += metrics.RecentBytes
			}
		}
		if c.subs.charged() != int64(kept) && !s.logs { // a log filter's is not known here
			s.fail("%s keeps %d bytes and is charged %d", c.id, kept, c.subs.charged())
		}
		sum += c.subs.charged()
	}
	for _, of := range l.leaving.waiting() {
		for i := range of.subs {
			sum += int64(of.subs[i].charge())
		}
	}
	return sum
}

// leaving is how many subscriptions the trie still has of those who have left.
func (s *simulation) leaving() (count int) {
	for _, l := range s.n.loops {
		count += leavingOf(l)
		s.totals["left in pieces"] += l.leaving.len()
	}
	return count
}

// refusesSubscription is the reason for which the node must refuse a subscription; "": none.
func (k *simClient) refusesSubscription(kinds []int, pattern string) string {
	missing := 0
	for _, kind := range kinds {
		if !slices.ContainsFunc(k.subs[kind], func(s simSub) bool {
			return s.pattern == strings.ToLower(pattern)
		}) {
			missing++
		}
	}
	if len(k.subs[0])+len(k.subs[1])+missing > k.s.n.subsMax {
		return "subscription_limit"
	}
	return k.refusesMemory(missing * (subscriptionCharge + 2*len(pattern)))
}

// refusesMemory is the reason for which the node must refuse to remember so many bytes more for the
// client; "": none.
func (k *simClient) refusesMemory(more int) string {
	all := int64(more)
	for _, l := range k.s.n.loops {
		all += k.s.heldBeside(l)
	}
	own, half := k.Conn.subs.charged()+int64(more), k.s.n.remembers/2
	if more > 0 && (all > k.s.n.remembers || all > half && own > half/k.s.n.connections.Load()) {
		return "memory"
	}
	return ""
}

// changes counts what the lists tell of.
func (s *simulation) changes() uint64 {
	return s.n.trie.Changes() + s.n.registry.changes.Load()
}

// listReceived holds that a list in which nothing has changed since it was asked for tells of
// exactly what is there.
func (s *simulation) listReceived(c *simCall, payload []byte) {
	if c.topic != "system.topic.list" && c.topic != "system.service.list" {
		return
	}
	if s.snapped++; s.snapped > int(s.n.background.built.Load()) {
		s.totals["snapshot shared"]++
	}
	if s.changes() != c.changes {
		return
	}
	var got struct {
		Topics   []string
		Services []struct{ ID string }
	}
	if err := json.Unmarshal(payload, &got); err != nil {
		s.fail("%s: %v", c.topic, err)
	}
	var is, want []string
	switch c.topic {
	case "system.topic.list":
		is = got.Topics
		for _, k := range s.sessions {
			if !k.marked(markLeft) {
				for _, sub := range k.Conn.subs.all() {
					want = append(want, sub.pattern.String())
				}
			}
		}
	case "system.service.list":
		for _, service := range got.Services {
			is = append(is, service.ID)
		}
		for _, k := range s.sessions {
			if !k.marked(markLeft) {
				want = append(want, k.id.String())
			}
		}
	}
	slices.Sort(is)
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(is, want) {
		s.fail("%s tells of %v, there are %v", c.topic, is, want)
	}
	s.totals["list exact"]++
}

// list has the client ask for a list, and says whether it did.
func (k *simClient) list() bool {
	random := k.s.lists
	if random == nil || random.IntN(4) > 0 {
		return false
	}
	topic := []string{"system.topic.list", "system.service.list"}[random.IntN(2)]
	k.call(topic, "{}", func(*simCall) {})
	return true
}

// refusedCall judges an error in answer to a call.
func (s *simulation) refusedCall(c *simCall, reason string) bool {
	switch {
	case c.refused != "":
		s.totals["refused "+c.refused]++
		return reason == c.refused
	case reason == "memory" || reason == "busy":
		return s.memory && strings.HasSuffix(c.topic, ".list") ||
			strings.HasSuffix(c.topic, ".subscriptions")
	}
	return false
}

// description makes lists as long as may be, so that they are not copied into rings.
func (s *simulation) description() string {
	return "simulated" + strings.Repeat("x", min(s.n.payloadMax/4, 1000))
}
