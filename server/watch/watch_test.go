package watch

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"mbserver/codec"
	"mbserver/topic"
)

// What a pattern is taken apart into matches what the pattern does.
func TestForm(t *testing.T) {
	levels := func(of ...string) *rapid.Generator[[]string] {
		return rapid.SliceOfN(rapid.SampledFrom(of), 1, topic.MaxLevels)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := levels("a", "ab", "b", "+").Draw(t, "pattern")
		if rapid.Bool().Draw(t, "open") {
			text[len(text)-1] = "#"
		}
		p, err := topic.ParsePattern(strings.Join(text, "."))
		if err != nil {
			t.Fatal(err)
		}
		name := strings.Join(levels("a", "ab", "b", "aa").Draw(t, "name"), ".")
		f := formOf(p.String())
		if got := f.matches([]byte(name)); got != p.Matches([]byte(name)) {
			t.Errorf("%s matches %s: %v", p, name, got)
		}
	})
}

// In any stretch of time a pace lets through what it promises, and not less while it is asked.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, RateMost).Draw(t, "rate")
		burst := rapid.IntRange(1, rate).Draw(t, "burst")
		p := NewPace(rate, burst)
		var passed []int64 // ns
		now := int64(0)
		for range 500 {
			now += rapid.Int64Range(0, 30e6).Draw(t, "ns")
			if p.Take(now) {
				passed = append(passed, now)
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				most := float64(burst) + float64(passed[j]-passed[i])*float64(rate)/1e9
				if got := j - i + 1; float64(got) > most+1e-3 {
					t.Fatalf("%d within %d ns, of %d a second and %d at once", got,
						passed[j]-passed[i], rate, burst)
				}
			}
		}
		if len(passed) < min(burst, 500) {
			t.Fatalf("only %d passed, %d may at once", len(passed), burst)
		}
	})
}

func look(t interface{ Fatal(...any) }, bytes int) *Watch {
	p, err := topic.ParsePattern("#")
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{
		Pattern: p, Actions: []codec.Action{codec.Publish}, Rate: RateMost, Bytes: bytes,
	}, 2)
}

// Whatever a message holds, it is shown as one line of JSON, and of its payload as much as may be.
func TestMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 0, 40),
			rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
			rapid.SampledFrom([][]byte{
				[]byte("{\"a\":\r\n[1,\t2]}"), []byte(`"text"`), []byte("12"), []byte("\"\xff\""),
				[]byte("a\r\nevent: end\ndata: {}\n\n"),
			}),
		).Draw(t, "payload")
		w := look(t, rapid.IntRange(0, 50).Draw(t, "bytes"))
		h := &codec.Header{Action: codec.Publish, Topic: []byte("a.B"), Version: []byte("1.0.0")}
		w.Offer(Message{}, h, payload)
		m := <-w.Messages()
		for _, may := range []Shown{{}, {Sender: true}, {Payload: true}} {
			b := m.Append(nil, may)
			if !utf8.Valid(b) || bytes.ContainsAny(b, "\r\n") {
				t.Fatalf("%q is no line of text", b)
			}
			var got struct {
				Bytes    int
				From     *string
				Payload  json.RawMessage
				Encoding string
				Cut      bool
				Hidden   bool
			}
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatalf("%v in %s", err, b)
			}
			if got.Bytes != len(payload) || (got.From != nil) != may.Sender ||
				got.Hidden == may.Payload || (got.Payload != nil) != may.Payload {
				t.Fatalf("%+v is %s", may, b)
			}
			if may.Payload {
				checkPayload(t, payload, w.bytes, got.Payload, got.Encoding, got.Cut)
			}
		}
	})
}

func checkPayload(
	t *rapid.T, payload []byte, bound int, shown json.RawMessage, encoding string, cut bool,
) {
	if cut != (len(payload) > bound) {
		t.Fatalf("of %d bytes %d may be shown, and cut is %v", len(payload), bound, cut)
	}
	switch encoding {
	case "json":
		var a, b bytes.Buffer
		if json.Compact(&a, payload) != nil || json.Compact(&b, shown) != nil ||
			a.String() != b.String() {
			t.Fatalf("%q is shown as %s", payload, shown)
		}
	case "text":
		var text string
		if json.Unmarshal(shown, &text) != nil || !strings.HasPrefix(string(payload), text) ||
			!cut && text != string(payload) || len(text) < min(bound-utf8.UTFMax+1, len(payload)) {
			t.Fatalf("%q is shown as %s", payload, shown)
		}
	case "base64":
		var raw []byte
		if json.Unmarshal(shown, &raw) != nil ||
			!bytes.Equal(raw, payload[:min(bound, len(payload))]) {
			t.Fatalf("%q is shown as %s", payload, shown)
		}
	default:
		t.Fatalf("encoding %q", encoding)
	}
}

// What finds no room is counted, and an offer never waits.
func TestOffer(t *testing.T) {
	w := look(t, BytesMost)
	h := &codec.Header{Action: codec.Publish, Topic: []byte("a"), Version: []byte("1.0.0")}
	payload := make([]byte, 2*BytesMost)
	for range 3 * waiting {
		w.Pass(1, 0)
		w.Offer(Message{}, h, payload)
	}
	if passed, missed := w.Counts(); passed != 3*waiting || missed != 2*waiting {
		t.Errorf("%d passed, %d were missed", passed, missed)
	}
	if m := <-w.Messages(); len(m.Payload) != BytesMost || m.Bytes != len(payload) {
		t.Errorf("%d of %d bytes", len(m.Payload), m.Bytes)
	}
}
