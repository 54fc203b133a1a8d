package broker

import (
	"fmt"
	"testing"

	"mbserver/server/trouble"
)

// A few topics are named, whatever clients make up; a place is free again when a spell is over.
func TestIllTopics(t *testing.T) {
	var ill illTopics
	const now = 10_000
	named := 0
	for i := range 100 {
		if ill.note(fmt.Appendf(nil, "made.up.%d", i), now) {
			named++
		}
	}
	if named != illTopicsMost || !ill.note([]byte("made.up.0"), now+1) {
		t.Errorf("%d are named", named)
	}
	later := int64(now + trouble.Gap + 1)
	if !ill.note([]byte("next"), later) || !ill.note([]byte("made.up.0"), later) {
		t.Error("no place is free again")
	}
	all := map[string]trouble.Times{"next": {Since: later - 5, Last: later, Count: 2}}
	ill.join(all, later)
	if next := all["next"]; len(all) != 2 || next.Count != 3 || next.Since != later-5 ||
		all["made.up.0"].Count != 3 {
		t.Errorf("there are %+v", all)
	}
}

// Whoever sends requests to the same topic again and again costs no memory.
func TestIllTopicsAlloc(t *testing.T) {
	var ill illTopics
	topics := [][]byte{[]byte("one.topic"), []byte("another"), []byte("a.third")}
	for i := range illTopicsMost - 1 {
		ill.note(fmt.Appendf(nil, "other.%d", i), 1)
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, topic := range topics {
			ill.note(topic, 2)
		}
	}); n > 0.5 {
		t.Errorf("%v allocations", n)
	}
}
