package event

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mbserver/codec"
)

// A log keeps the last events, whole and in order, changes those that are still there, and takes no
// more than it may, whatever is written to it.
func TestLogModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Log
		var all []Event
		for range rapid.IntRange(0, 300).Draw(t, "events") {
			if len(all) > 0 && rapid.IntRange(0, 3).Draw(t, "change") == 0 {
				at := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				e := &all[at]
				e.Count, e.Span = rapid.Uint32().Draw(t, "count"), rapid.Uint32().Draw(t, "span")
				l.Change(uint32(at), e.Count, e.Span)
				continue
			}
			e := Event{
				At:     rapid.Int64Range(0, 1<<47).Draw(t, "at"),
				Kind:   Kind(rapid.IntRange(0, int(Saturated)).Draw(t, "kind")),
				Detail: rapid.Uint8().Draw(t, "detail"), Count: 1,
				Number: rapid.Uint32().Draw(t, "number"),
				Text:   strings.Repeat("x", rapid.IntRange(0, 2*textMax).Draw(t, "text")),
			}
			held := l.Held()
			may := rapid.Bool().Draw(t, "may grow")
			if n := l.Append(&e, may); n != uint32(len(all)) {
				t.Fatalf("event %d has the number %d", len(all), n)
			}
			e.Text = e.Text[:min(len(e.Text), textMax)]
			all = append(all, e)
			if l.Held() > held && !may || l.Held() > bytesMax {
				t.Fatalf("%d bytes are held, %d before", l.Held(), held)
			}
		}
		copied, forgotten := l.Copy()
		got := Read(copied)
		if len(got)+forgotten != len(all) || !slices.Equal(got, all[forgotten:]) {
			t.Fatalf("%d are kept, %d forgotten of %d: %v", len(got), forgotten, len(all), got)
		}
	})
}

// With room enough a log keeps as many events as it may, of whatever length.
func TestLogKeepsAHundred(t *testing.T) {
	var l Log
	for range 3 * Most {
		l.Append(&Event{Kind: Subscribed, Text: strings.Repeat("x", textMax)}, true)
	}
	copied, forgotten := l.Copy()
	if got := len(Read(copied)); got != Most || forgotten != 2*Most || l.Held() > bytesMax {
		t.Errorf("%d are kept and %d forgotten in %d bytes", got, forgotten, l.Held())
	}
}

// A log that has grown costs nothing more.
func TestLogAllocations(t *testing.T) {
	var l Log
	e := &Event{Kind: Refused, Text: "some words that say why"}
	for range 2 * Most {
		l.Append(e, true)
	}
	if n := testing.AllocsPerRun(1000, func() { l.Append(e, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Every kind of event has a name, and is said in words of its own.
func TestWords(t *testing.T) {
	seen := make(map[string]bool)
	for k := Opened; k <= Saturated; k++ {
		e := Event{Kind: k, Count: 3, Number: 7, Text: "x"}
		for _, s := range []string{k.String(), e.String()} {
			if s == "" || s == "x" || s == "unknown" || seen[s] {
				t.Errorf("kind %d is %q", k, s)
			}
			seen[s] = true
		}
	}
	for _, code := range []codec.Code{codec.Timeout, codec.Forbidden, codec.NoRouteFound} {
		e := Event{Kind: Refused, Detail: CodeOf(code), Count: 1}
		if !strings.Contains(e.String(), "1 message was answered "+string(code)) {
			t.Errorf("%s", &e)
		}
	}
}
