package broker

import (
	"mbserver/server/permit"
)

// verdict is what rules say of one topic: a bit for each verb.
type verdict uint8

// allows says whether a verb is permitted.
func (v verdict) allows(verb permit.Verb) bool { return v&(1<<verb) != 0 }

// verdicts are what one loop remembers of what rules say: many connections of the loop may hold the
// same rules. Loop only.
type verdicts struct {
	rules *permit.Rules
	users int // connections that hold them
	names map[string]verdictOf
}

// verdictOf is a verdict and the topic again, whose text a connection may keep.
type verdictOf struct {
	name string
	verdict
}

const (
	// verdictsMax is how many topics a loop remembers verdicts of, for all rules together. Beyond,
	// it forgets all: a verdict costs microseconds.
	verdictsMax = 1 << 14

	// verdictCharge is what one costs beside its topic's text, in bytes (measured, rounded up).
	verdictCharge = 96
)

// standings are a loop's connections of which it matters who they are, in sum. Loop only.
type standings struct {
	verdicts map[*permit.Rules]*verdicts
	names    int     // in all of them
	charged  int64   // bytes of the node's budget
	fresh    []*Conn // whose rules have changed: to be looked at again
	pass     *pass   // what a change of authority has the loop do; nil: nothing
}

// of returns what is remembered of rules, for one user more. Of nil, which permit everything,
// nothing is.
func (t *standings) of(r *permit.Rules) *verdicts {
	if r == nil {
		return nil
	}
	v := t.verdicts[r]
	if v == nil {
		if t.verdicts == nil {
			t.verdicts = make(map[*permit.Rules]*verdicts)
		}
		v = &verdicts{rules: r}
		t.verdicts[r] = v
	}
	v.users++
	return v
}

// leave ends the use of verdicts. v may be nil.
func (t *standings) leave(v *verdicts) {
	if v == nil {
		return
	}
	if v.users--; v.users == 0 {
		t.names -= len(v.names)
		delete(t.verdicts, v.rules)
	}
}

// of returns what v's rules say of a canonical topic of the user, and the topic's text. nil permits
// everything.
func (v *verdicts) of(l *Loop, name []byte) (string, verdict) {
	if v == nil {
		return "", ^verdict(0)
	}
	if known, ok := v.names[string(name)]; ok {
		return known.name, known.verdict
	}
	if l.standings.names >= verdictsMax {
		l.standings.clear()
	}
	is := verdictOf{name: string(name)}
	for _, verb := range []permit.Verb{
		permit.Publish, permit.Subscribe, permit.Request, permit.Respond,
	} {
		if v.rules.Topic(verb, name) {
			is.verdict |= 1 << verb
		}
	}
	if v.names == nil {
		v.names = make(map[string]verdictOf)
	}
	v.names[is.name] = is
	l.standings.names++
	l.spend(verdictWork)
	return is.name, is.verdict
}

// verdictWork is what it takes to find a verdict, in deliveries.
const verdictWork = 32

// clear forgets all verdicts.
func (t *standings) clear() {
	for _, v := range t.verdicts {
		v.names = nil
	}
	t.names = 0
}

// settleStandings charges the loop for what it remembers.
func (l *Loop) settleStandings() {
	t := &l.standings
	held := int64(t.names) * (verdictCharge + 2*verdictName)
	if held != t.charged {
		l.charge += held - t.charged
		t.charged = held
	}
}

// verdictName is the length of a topic that is reckoned with, in bytes: most are shorter.
const verdictName = 32
