package broker

import (
	"testing"

	"mbserver/codec"
)

// IDs of messages are UUIDv4s and differ, also where the counted digits carry and where they end.
func TestMessageIDs(t *testing.T) {
	n := newTestNode(t, 1, 1, nil)
	l := n.loops[0]
	seen := map[string]bool{}
	next := func() string {
		id := string(l.appendMessageID(nil))
		if _, ok := codec.ParseUUID([]byte(id)); !ok || id[14] != '4' || seen[id] {
			t.Fatalf("%q is no UUIDv4, or was there before", id)
		}
		seen[id] = true
		return id
	}
	for range messageIDRun + 10 {
		next()
	}
	for _, row := range []struct{ from, to string }{
		{"00000000000f", "000000000010"},
		{"0000000009ff", "000000000a00"},
		{"0fffffffffff", "100000000000"},
	} {
		copy(l.ids.text[24:], row.from)
		if id := next(); id[24:] != row.to {
			t.Errorf("after %s comes %s, want %s", row.from, id[24:], row.to)
		}
	}
	before := next()[:24]
	copy(l.ids.text[24:], "ffffffffffff")
	if after := next()[:24]; after == before {
		t.Error("the digits were used up, and nothing else changed")
	}
}
