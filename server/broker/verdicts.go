package broker

import (
	"mbserver/server/permit"
	"mbserver/topic"
)

// Verdicts: what rules say of topics, remembered by each loop for itself.
//
// Purpose. A message that may be sent costs one comparison more than on a node that asks nobody.
//
// Outline. The verdict of the rules that were asked last of a topic stands beside its route
// (topic.Memo), where the message looks anyway. What is not there is in one map for all rules and
// topics of the loop: topics that have no route, and those on which holders of several rules speak.
//
// Invariants. Rules are known by their number, which no others ever have: whoever gets other rules
// is never told what earlier ones said. A topic that may not be sent to gets no route.
//
// Cost. A verdict that is not remembered costs microseconds. The map is bounded and charged, and
// forgets all when it is full, when rules have changed, and when nobody is left who has any.
type verdict uint8 // a bit for each verb

// allows says whether a verb is permitted.
func (v verdict) allows(verb permit.Verb) bool { return v&(1<<verb) != 0 }

// verdictOf is whose verdict of what it is.
type verdictOf struct {
	rules uint64 // their number
	topic string // canonical
}

const (
	// verdictsMax is how many verdicts a loop remembers beside those that stand with routes.
	verdictsMax = 1 << 14

	// verdictCharge is what one costs beside its topic's text, in bytes (measured, rounded up).
	verdictCharge = 96

	// verdictWork is what it takes to find a verdict, in deliveries.
	verdictWork = 32
)

// standings are a loop's connections of which it matters who they are, in sum. Loop only.
type standings struct {
	holders  int // connections with a standing
	verdicts map[verdictOf]verdict
	held     int64   // bytes, of verdicts
	charged  int64   // bytes of the node's budget
	fresh    []*Conn // whose rules have changed: to be looked at again
	pass     *pass   // what a change of authority has the loop do; nil: nothing
}

// verdictBeside returns what rules say of a canonical topic of the user. m is what is remembered
// beside its route; nil when it has none. Nil rules permit everything.
func (l *Loop) verdictBeside(m *topic.Memo, r *permit.Rules, name []byte) verdict {
	if r == nil {
		return ^verdict(0)
	}
	if m != nil && m.Of == r.Number() {
		return verdict(m.Says)
	}
	v := l.verdictOf(r, name)
	if m != nil {
		m.Of, m.Says = r.Number(), uint8(v)
	}
	return v
}

// verdictOf is verdictBeside for what has no route.
func (l *Loop) verdictOf(r *permit.Rules, name []byte) (is verdict) {
	t := &l.standings
	if known, ok := t.verdicts[verdictOf{r.Number(), string(name)}]; ok {
		return known
	}
	for _, verb := range []permit.Verb{
		permit.Publish, permit.Subscribe, permit.Request, permit.Respond,
	} {
		if r.Topic(verb, name) {
			is |= 1 << verb
		}
	}
	if len(t.verdicts) >= verdictsMax {
		t.forgetVerdicts()
	}
	if t.verdicts == nil {
		t.verdicts = make(map[verdictOf]verdict)
	}
	t.verdicts[verdictOf{r.Number(), string(name)}] = is
	t.held += verdictCharge + int64(len(name))
	l.spend(verdictWork)
	return is
}

// forgetVerdicts forgets those of the map.
func (t *standings) forgetVerdicts() { t.verdicts, t.held = nil, 0 }

// settleStandings charges the loop for what it remembers: nothing when nobody is there.
func (l *Loop) settleStandings() {
	t := &l.standings
	if t.holders == 0 && t.held > 0 {
		t.forgetVerdicts()
	}
	l.charge += t.held - t.charged
	t.charged = t.held
}
