package system

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"mbserver/codec"
)

func TestAuditPayload(t *testing.T) {
	for _, row := range []struct{ payload, want string }{
		{`{"a":[1, null]}`, `{"payload":{"a":[1,null]}}`},
		{"[1,\n2]", `{"payload":[1,2]}`},
		{`"x"`, `{"payload":"x"}`},
		{`0.5`, `{"payload":0.5}`},
		{``, `{"payload":""}`},
		{`  `, `{"payload":"  "}`},
		{`{"a":1} tail`, `{"payload":"{\"a\":1} tail"}`},
		{"a\nb", `{"payload":"a\nb"}`},
		{"\"\xff\"", `{"payload":"` + base64.StdEncoding.EncodeToString([]byte("\"\xff\"")) +
			`","encoding":"base64"}`},
	} {
		got := string(append(appendPayload([]byte(`{"payload":`), []byte(row.payload)), '}'))
		if got != row.want || !json.Valid([]byte(got)) {
			t.Errorf("%q: %s, want %s", row.payload, got, row.want)
		}
	}
}

func TestAuditMessageHeader(t *testing.T) {
	const id = "00000000-0000-4000-8000-00000000000A"
	const parent = "00000000-0000-4000-8000-00000000000b"
	for header, want := range map[string]string{
		"REQUEST:A.b:1.0.0\n": `{"action":"request","topic":"A.b","version":"1.0.0"}`,
		"publish:a:1.0.0:" + id + "\n": `{"action":"publish","topic":"a","version":"1.0.0",` +
			`"requestId":"` + id + `"}`,
		"request:a:1.0.0::" + parent + ":0070\n": `{"action":"request","topic":"a",` +
			`"version":"1.0.0","parentRequestId":"` + parent + `","timeout":70}`,
		"request:a:1.0.0:" + id + ":" + parent + ":" + "\n": `{"action":"request","topic":"a",` +
			`"version":"1.0.0","requestId":"` + id + `","parentRequestId":"` + parent + `"}`,
	} {
		h, payload, err := codec.ParseHeader([]byte(header), 1000)
		if err != nil {
			t.Fatal(err)
		}
		got := string(appendMessage(nil, &h, payload))
		if got != `{"header":`+want+`,"payload":""}` {
			t.Errorf("%q: %s", header, got)
		}
	}
}
