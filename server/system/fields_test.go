package system

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What eachMember tells of is what encoding/json does.
func TestMembers(t *testing.T) {
	space := rapid.SampledFrom([]string{"", " ", "\n\t", "\r\n  "})
	value := rapid.SampledFrom([]string{
		`1`, `-2.5e3`, `null`, `true`, `"a\"b\\"`, `"}{,:"`, `{}`, `[]`, `{"a":[1,{"b":"]}"}]}`,
		`[ [ ] , "," ]`, `""`, `{ "x" : { } }`,
	})
	name := rapid.SampledFrom([]string{`"a"`, `"topic"`, `"t\u006fpic"`, `""`, `"a:b"`, `"\""`})
	rapid.Check(t, func(t *rapid.T) {
		s := func() string { return space.Draw(t, "space") }
		text := s() + "{"
		for i := range rapid.IntRange(0, 4).Draw(t, "members") {
			if i > 0 {
				text += ","
			}
			text += s() + name.Draw(t, "name") + s() + ":" + s() + value.Draw(t, "value") + s()
		}
		text += s() + "}" + s()
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		got := make(map[string]json.RawMessage)
		if !eachMember([]byte(text), func(name, value []byte) { got[nameOf(name)] = value }) {
			t.Fatalf("%s is no object", text)
		}
		same := func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }
		if !maps.EqualFunc(got, want, same) {
			t.Fatalf("%s: %s, want %s", text, got, want)
		}
	})
}

// What textOf says is what encoding/json does, and plain strings cost no more than their bytes.
func TestTextOf(t *testing.T) {
	for _, valid := range []string{
		`""`, `"a.b"`, `"ä\u00e4 \"\\\/\n"`, `"\ud83d\ude00"`, `"\ud83d"`, "\"\u2028\"",
		`1`, `null`, `true`, `{}`, `["a"]`,
	} {
		var want string
		is := valid[0] == '"'
		if is && json.Unmarshal([]byte(valid), &want) != nil {
			t.Fatalf("%s is not valid", valid)
		}
		if got, ok := textOf([]byte(valid)); got != want || ok != is {
			t.Errorf("%s: %q, %v, want %q, %v", valid, got, ok, want, is)
		}
	}
	plain := []byte(`"a topic that is somewhat longer than a few bytes"`)
	if n := testing.AllocsPerRun(100, func() { textOf(plain) }); n > 1 {
		t.Errorf("%v allocations for a plain string", n)
	}
}

func TestFields(t *testing.T) {
	for payload, want := range map[string][]string{
		`{}`: {}, ` {"topic":"a"} `: {"topic"}, `{"t\u006fpic":1,"other":2}`: {"topic"},
		`{"\u0074\u006F\u0070\u0069\u0063":1,"\ntopic":1,"t\u016fpic":1,"\"":1}`: {"topic"},
	} {
		fields := map[string]json.RawMessage{}
		ok := parseFields([]byte(payload), fields)
		if names := slices.Sorted(maps.Keys(fields)); !ok || !slices.Equal(names, want) {
			t.Errorf("%s: %v, %v", payload, names, ok)
		}
	}
	for _, payload := range []string{`[]`, `null`, `1`, `"x"`, `{`, `{"a":1}x`, "{\"\xff\":1}"} {
		if parseFields([]byte(payload), map[string]json.RawMessage{}) {
			t.Errorf("%q passes", payload)
		}
	}
}

func FuzzFields(f *testing.F) {
	f.Add([]byte(`{"topic":"a.b","priority":1.5,"x":[{}]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var want map[string]json.RawMessage
		valid := json.Unmarshal(payload, &want) == nil && want != nil
		fields := map[string]json.RawMessage{}
		ok := parseFields(payload, fields)
		if ok && !valid {
			t.Fatalf("%q passes", payload)
		}
		for name, value := range fields {
			if !bytes.Equal(want[name], value) {
				t.Fatalf("%q: %s is %s, want %s", payload, name, value, want[name])
			}
		}
	})
}
