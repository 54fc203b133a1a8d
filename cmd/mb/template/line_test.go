package template

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLine(t *testing.T) {
	m := &Message{
		Number: 7, Topic: "flights.SFO.lax", Version: "1.2.3", ID: "an-id",
		Payload: []byte(`{"delay":42.50,"o":{"t":"a\tb","l":[1,null]},"n":null,"late":true}`),
		Arrived: time.UnixMilli(1234567890123).In(time.FixedZone("", 3600)),
	}
	for text, want := range map[string]string{
		"":                               "",
		"{number} {topic}: {bytes}":      "7 flights.SFO.lax: 66",
		"{time} {clock}":                 "2009-02-13T23:31:30.123Z 00:31:30.123",
		"{unix}":                         "1234567890.123",
		"{topic.1}/{topic.2}/{topic.5}":  "flights/SFO/",
		"{version} {id}":                 "1.2.3 an-id",
		"{payload.delay} {payload.late}": "42.50 true",
		"{payload.o.t}|{payload.o.l}":    "a\tb|[1,null]",
		"{payload.x}{payload.late.b}":    "",
		`{{}}\\\t\n`:                     "{}\\\t\n",
		"ä{payload}ö":                    "ä" + string(m.Payload) + "ö",
	} {
		l, err := ParseLine(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := string(l.Append(nil, m)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	m.Payload = []byte("no JSON")
	l, err := ParseLine("{payload}{payload.a}")
	if got := string(l.Append(nil, m)); err != nil || got != "no JSON" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLineRefused(t *testing.T) {
	for _, text := range []string{
		"{Topic}", "{", "}",
		"{topic", "topic}", "{colour}", "{}", `\x`, `\`, "{topic.x}", "{topic.0}",
		"{topic.1.2}", "{topic.}", "{payload.}", "{payload.a..b}", "{time.x}", "{.topic}",
	} {
		if _, err := ParseLine(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	_, err := ParseLine("{colour}")
	if err == nil || !strings.Contains(err.Error(), "{payload} are") {
		t.Errorf("%v does not say which fields there are", err)
	}
}

// Any text stands for itself when its braces and backslashes are doubled.
func TestLineOfText(t *testing.T) {
	double := strings.NewReplacer("{", "{{", "}", "}}", `\`, `\\`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		l, err := ParseLine(double.Replace(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(l.Append(nil, &Message{})); got != text {
			t.Fatalf("got %q, want %q", got, text)
		}
	})
}
