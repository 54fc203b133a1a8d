package blackbox

import (
	"fmt"
	"strings"
	"testing"
)

const (
	idA = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
	idB = "ffffffff-ffff-4fff-bfff-ffffffffffff"
	idC = "12345678-1234-4234-9234-123456789abc"
)

// fourLevels is a topic of 192+n bytes: three levels of 63 letters, and one of n.
func fourLevels(n int) string {
	return strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + "." +
		strings.Repeat("c", 63) + "." + strings.Repeat("d", n)
}

var badHeaders = []struct{ name, header, field, id string }{
	{"no fields", "", "", ""},
	{"one field", "publish", "", ""},
	{"two fields", "publish:a.b", "", ""},
	{"seven fields", "request:a.b:1.0.0:" + idA + ":" + idB + ":100:x", "", idA},
	{"unknown action", "subscribe:a.b:1.0.0:" + idA, "action", idA},
	{"empty action", ":a.b:1.0.0:" + idA, "action", idA},
	{"space before action", " publish:a.b:1.0.0", "action", ""},
	{"space after action", "publish :a.b:1.0.0", "action", ""},
	{"empty topic", "publish::1.0.0:" + idA, "topic", idA},
	{"six levels", "publish:a.b.c.d.e.f:1.0.0:" + idA, "topic", idA},
	{"empty level", "publish:a..b:1.0.0", "topic", ""},
	{"dot at the start", "publish:.a:1.0.0", "topic", ""},
	{"dot at the end", "publish:a.:1.0.0", "topic", ""},
	{"level starts with a digit", "publish:a.1b:1.0.0", "topic", ""},
	{"hyphen", "publish:a-b:1.0.0", "topic", ""},
	{"underscore", "publish:a_b:1.0.0", "topic", ""},
	{"not ASCII", "publish:café:1.0.0", "topic", ""},
	{"wildcard +", "publish:a.+:1.0.0", "topic", ""},
	{"wildcard #", "publish:#:1.0.0", "topic", ""},
	{"space in topic", "publish:a b:1.0.0", "topic", ""},
	{"256 bytes", "publish:" + fourLevels(64) + ":1.0.0:" + idA, "topic", idA},
	{"empty version", "publish:a.b::" + idA, "version", idA},
	{"two numbers", "publish:a.b:1.0:" + idA, "version", idA},
	{"four numbers", "publish:a.b:1.0.0.0", "version", ""},
	{"v", "publish:a.b:v1.0.0", "version", ""},
	{"pre-release", "publish:a.b:1.0.0-beta", "version", ""},
	{"build", "publish:a.b:1.0.0+1", "version", ""},
	{"leading zero", "publish:a.b:1.00.0", "version", ""},
	{"leading zero in major", "publish:a.b:01.0.0", "version", ""},
	{"sign in version", "publish:a.b:-1.0.0", "version", ""},
	{"empty minor", "publish:a.b:1..0", "version", ""},
	{"space in version", "publish:a.b:1.0.0 ", "version", ""},
	{"21 bytes", "publish:a.b:1.0.12345678901234567", "version", ""},
	{"short ID", "request:a.b:1.0.0:1234", "requestId", ""},
	{"ID without hyphens", "request:a.b:1.0.0:" + strings.ReplaceAll(idA, "-", "") + "0000",
		"requestId", ""},
	{"ID not hexadecimal", "request:a.b:1.0.0:" + strings.Replace(idA, "0", "g", 1),
		"requestId", ""},
	{"ID in braces", "request:a.b:1.0.0:{" + idA + "}", "requestId", ""},
	{"ID with a space", "request:a.b:1.0.0: " + idA, "requestId", ""},
	{"short parent", "request:a.b:1.0.0:" + idA + ":1234", "parentRequestId", idA},
	{"parent not hexadecimal",
		"request:a.b:1.0.0:" + idA + ":" + strings.Replace(idB, "f", "x", 1),
		"parentRequestId", idA},
	{"timeout 0", "request:a.b:1.0.0:" + idA + "::0", "timeout", idA},
	{"timeout 000", "request:a.b:1.0.0:" + idA + "::000", "timeout", idA},
	{"timeout too large", "request:a.b:1.0.0:" + idA + "::3600001", "timeout", idA},
	{"timeout overflows", "request:a.b:1.0.0:" + idA + "::18446744073709551617", "timeout", idA},
	{"timeout with sign", "request:a.b:1.0.0:" + idA + "::+100", "timeout", idA},
	{"negative timeout", "request:a.b:1.0.0:" + idA + "::-1", "timeout", idA},
	{"timeout with fraction", "request:a.b:1.0.0:" + idA + "::1.5", "timeout", idA},
	{"hexadecimal timeout", "request:a.b:1.0.0:" + idA + "::0x10", "timeout", idA},
	{"timeout with space", "request:a.b:1.0.0:" + idA + ":: 100", "timeout", idA},
	{"timeout on publish", "publish:a.b:1.0.0:" + idA + "::100", "timeout", idA},
	{"timeout on response", "response:a.b:1.0.0:" + idA + "::100", "timeout", idA},
	{"carriage return", "publish:a.b:1.0.0\r", "version", ""},
}

// Every rule of the header line: the error names the field and, where it can be read,
// the request ID.
func TestS2_HeaderErrors(t *testing.T) {
	if long := fourLevels(64); len(long) != 256 {
		t.Fatal(len(long))
	}
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		c.subscribe("both", "#")
		for _, row := range badHeaders {
			c.send(row.header, "{}")
			e := c.expectErrorHead()
			if e.Code != "MALFORMED_MESSAGE" {
				t.Errorf("%s: code %s", row.name, e.Code)
			}
			if len(e.Details) == 0 || !e.names(row.field) {
				t.Errorf("%s: details %v do not name %q", row.name, e.Details, row.field)
			}
			if got, _ := e.Details["requestId"].(string); got != row.id {
				t.Errorf("%s: details.requestId is %q, want %q", row.name, got, row.id)
			}
		}
		c.none()
	})
}

// No newline within the longest header.
func TestS2_NoNewline(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for _, text := range []string{
			"x",
			"publish:a.b:1.0.0",
			strings.Repeat("x", 16_000),
			strings.Repeat("x", largestFrame(0)+2) + "\n{}",
			"publish:a.b:1.0.0" + strings.Repeat(" ", 400) + "\n{}",
		} {
			if err := c.peer.Send([]byte(text)); err != nil {
				t.Fatal(err)
			}
			if e := c.expectErrorHead(); e.Code != "MALFORMED_MESSAGE" {
				t.Errorf("%.20q: %+v", text, e)
			}
		}
		c.none()
	})
}

// What the header's rules allow arrives; a case of header in,
// the header line that subscribers see out.
func TestS2_HeaderAccepted(t *testing.T) {
	longest := fourLevels(63) // 255 bytes
	rows := []struct{ name, header, out, ack string }{
		{"plain", "publish:a.b:1.0.0", "publish:a.b:1.0.0", ""},
		{"upper-case action", "PUBLISH:a.b:1.0.0", "publish:a.b:1.0.0", ""},
		{"mixed-case action", "PubLish:a.b:1.0.0", "publish:a.b:1.0.0", ""},
		{"topic keeps its spelling",
			"publish:Alpha.BRAVO.cHarlie9:1.0.0", "publish:Alpha.BRAVO.cHarlie9:1.0.0", ""},
		{"one letter", "publish:a:1.0.0", "publish:a:1.0.0", ""},
		{"five levels",
			"publish:a.b1.c22.d333.e4444:1.0.0", "publish:a.b1.c22.d333.e4444:1.0.0", ""},
		{"255 bytes", "publish:" + longest + ":1.0.0", "publish:" + longest + ":1.0.0", ""},
		{"any version of a user topic",
			"publish:a.b:999.10.12345678901", "publish:a.b:999.10.12345678901", ""},
		{"version 0.0.0", "publish:a.b:0.0.0", "publish:a.b:0.0.0", ""},
		{"version of 20 bytes",
			"publish:a.b:1.0.1234567890123456", "publish:a.b:1.0.1234567890123456", ""},
		{"trailing empty fields", "publish:a.b:1.0.0:::", "publish:a.b:1.0.0", ""},
		{"trailing empty ID", "publish:a.b:1.0.0:", "publish:a.b:1.0.0", ""},
		{"empty ID, parent", "publish:a.b:1.0.0::" + idB, "publish:a.b:1.0.0", ""},
		{"ID", "publish:a.b:1.0.0:" + idA, "publish:a.b:1.0.0", idA},
		{"ID, trailing empty fields", "publish:a.b:1.0.0:" + idA + "::", "publish:a.b:1.0.0", idA},
		{"ID and parent", "publish:a.b:1.0.0:" + idA + ":" + idB, "publish:a.b:1.0.0", idA},
		{"nil ID: version nibble not checked",
			"publish:a.b:1.0.0:00000000-0000-0000-0000-000000000000", "publish:a.b:1.0.0",
			"00000000-0000-0000-0000-000000000000"},
	}
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		a, b := n.dial(t, from), n.dial(t, to)
		b.subscribe("publish", "#")
		for i, row := range rows {
			t.Log(row.name)
			a.send(row.header, fmt.Sprint(i))
			b.expectPayload(row.out+":*", fmt.Sprint(i))
			if row.ack != "" {
				a.expect(strings.Replace(row.out, "publish", "response", 1) + ":" + row.ack)
			}
		}
		a.none()
		b.none()
	})
}

// A request ID in capitals is legal; it comes back as the same ID.
func TestS2_UpperCaseID(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		c.subscribe("both", "case.test")
		c.send("publish:case.test:1.0.0:"+strings.ToUpper(idA), "")
		c.expect("publish:case.test:1.0.0:*")
		if m := c.recv(); !strings.EqualFold(m.ID, idA) || m.Action != "response" {
			t.Errorf("got %v", m)
		}
		c.send("request:case.test:1.0.0:"+strings.ToUpper(idA)+":"+strings.ToUpper(idB)+":9000", "")
		m := c.expect("request:case.test:1.0.0:*")
		c.send("RESPONSE:case.test:1.0.0:"+strings.ToUpper(m.ID), "yes")
		if m := c.recv(); !strings.EqualFold(m.ID, idA) || string(m.Payload) != "yes" {
			t.Errorf("got %v", m)
		}
	})
}

// The longest request header there is, timeouts with leading zeros,
// and every way to leave optional fields out.
func TestS2_RequestHeaders(t *testing.T) {
	longest := strings.Repeat("A", 63) + fourLevels(63)[63:]
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		a, b := n.dial(t, from), n.dial(t, to)
		b.subscribe("request", "#")
		for _, row := range []struct{ topic, version, tail string }{
			{"a.b", "1.0.0", idA},
			{"a.b", "1.0.0", idA + ":"},
			{"a.b", "1.0.0", idA + "::"},
			{"a.b", "1.0.0", idA + ":" + idB},
			{"a.b", "1.0.0", idA + ":" + idB + ":"},
			{"a.b", "1.0.0", idA + "::1"},
			{"a.b", "1.0.0", idA + "::0005000"},
			{"a.b", "1.0.0", idA + "::3600000"},
			{"X.y", "7.8.9", idA + ":" + idB + ":60000"},
			{longest, "1.0.1234567890123456", idA + ":" + idB + ":3600000"},
		} {
			a.send("REQUEST:"+row.topic+":"+row.version+":"+row.tail, "q")
			if row.tail == idA+"::1" { // it may even be over before it gets there
				a.expectFault("response:a.b:1.0.0:"+idA, "TIMEOUT")
				b.settle()
				for _, m := range b.backlog {
					m.mustHead(t, "request:a.b:1.0.0:"+m.ID)
				}
				b.backlog = nil
				continue
			}
			m := b.expectPayload("request:"+row.topic+":"+row.version+":*", "q")
			b.send("response:"+row.topic+":"+row.version+":"+m.ID, "r")
			a.expectPayload("response:"+row.topic+":"+row.version+":"+idA, "r")
		}
		a.none()
	})
}

func TestS2_SystemVersion(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for _, version := range []string{"1.0.0", "1.9.27"} {
			c.send("request:system.heartbeat:"+version+":"+idA, "{}")
			m := c.expect("response:system.heartbeat:" + version + ":" + idA)
			if m.object(t)["status"] != "success" {
				t.Errorf("version %s: %v", version, m)
			}
		}
		for _, version := range []string{"0.9.0", "2.0.0", "10.0.0", "11.1.1"} {
			c.send("request:system.heartbeat:"+version+":"+idA, "{}")
			c.expectFault("response:system.heartbeat:"+version+":"+idA, "VERSION_NOT_SUPPORTED")
		}
		c.none()
	})
}

// The payload of a system topic is a JSON object; nothing counts as {}.
func TestS2_SystemPayload(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		for _, good := range []string{"", "{}", " {\n} ", `{"unknown":[1]}`} {
			c.ok("system.heartbeat", good)
		}
		for _, bad := range []string{
			"[]", "null", "1", `"x"`, "{", "{}{}", "{} x", "hello",
			`{"a":1,}`, "{'a':1}", "{\"a\":\"\xff\xfe",
		} {
			for _, topic := range []string{"system.topic.list", "system.topic.subscribe"} {
				c.send("request:"+topic+":1.0.0:"+idA, bad)
				c.expectFault("response:"+topic+":1.0.0:"+idA, "MALFORMED_MESSAGE")
			}
		}
		c.none()
	})
}

// Everything the broker writes as payload is on one line, also where it repeats what a client sent.
func TestS2_OneLine(t *testing.T) {
	perTransport(t, nil, func(t *testing.T, n *node, transport string) {
		c := n.dial(t, transport)
		c.ok("system.service.register", `{"name":"two\nlines","description":"a\r\nb"}`)
		m := c.call("system.service.list", "")
		if m.object(t); strings.Contains(string(m.Payload), "\n") {
			t.Errorf("list has a newline: %q", m.Payload)
		}
		if got := items(t, m.object(t), "services")[0]["name"]; got != "two\nlines" {
			t.Errorf("name is %q", got)
		}
		c.refused("system.topic.subscribe", `{"action":"publish","topic":"a\nb"}`,
			"INVALID_REQUEST")
		c.refused("system.log.subscribe", `{"regex":"(\n"}`, "INVALID_REQUEST")
	})
}
