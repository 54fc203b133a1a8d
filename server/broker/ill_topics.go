package broker

import (
	"fmt"
	"sync"

	"mbserver/server/trouble"
)

// illTopicsMost is how many topics a loop names for one kind of trouble. What goes wrong on more
// than these at a time is counted together.
const illTopicsMost = 8

// illTopics are the topics on which something of one kind goes wrong, as one loop meets it: the
// names of some, so that whoever asks is told where, and a bound, for clients make them up.
type illTopics struct {
	mu sync.Mutex
	// Guarded by mu, which is held for a few instructions.
	topics [illTopicsMost]illTopic
}

// illTopic is one of them. It is another's when its spell is over.
type illTopic struct {
	topic string // "": none
	spell trouble.Spell
}

// note notes that it has gone wrong on a topic once more; false: too many others are named. It
// allocates when a topic gets its place, eight times within trouble.Gap at the most.
func (t *illTopics) note(topic []byte, now int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	var free *illTopic
	for i := range t.topics {
		one := &t.topics[i]
		if one.topic == string(topic) {
			one.spell.Note(now)
			return true
		}
		if free == nil && !one.spell.Last(now).Stands(now) {
			free = one
		}
	}
	if free == nil {
		return false
	}
	*free = illTopic{topic: string(topic)}
	free.spell.Note(now)
	return true
}

// join adds those that stand now to what other loops have met.
func (t *illTopics) join(all map[string]trouble.Times, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.topics {
		one := &t.topics[i]
		if last := one.spell.Last(now); one.topic != "" && last.Stands(now) {
			all[one.topic] = all[one.topic].Join(last)
		}
	}
}

// illOn notes a trouble that the loop meets on a topic. Loop only.
func (l *Loop) illOn(k trouble.Kind, topic []byte) {
	t := &l.unserved
	if k == trouble.RequestsTimedOut {
		t = &l.late
	}
	if !t.note(topic, l.time.Ms) {
		l.ill(k)
	}
}

// findTopics reports what goes wrong on topics that are named. The others are among what the loops
// have met (findLoops).
func (f *finder) findTopics() {
	for _, kind := range []struct {
		kind trouble.Kind
		of   func(l *Loop) *illTopics
		why  string
	}{
		{trouble.RequestsUnserved, func(l *Loop) *illTopics { return &l.unserved },
			"%d requests were on a topic that no service is subscribed to"},
		{trouble.RequestsTimedOut, func(l *Loop) *illTopics { return &l.late },
			"%d requests on a topic had no answer within their time"},
	} {
		all := make(map[string]trouble.Times)
		for _, l := range f.broker.loops {
			kind.of(l).join(all, f.now.Ms)
		}
		for topic, t := range all {
			f.addOf(trouble.Subject{Topic: topic}, kind.kind, "", t, fmt.Sprintf(kind.why, t.Count))
		}
	}
}
