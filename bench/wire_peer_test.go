//go:build linux

package bench

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What a peer sends to a responder for one request, what the responder must write, by protocol.
func TestPeerAnswers(t *testing.T) {
	const topic, n = "bench.svc0000", 128
	payload := append([]byte(inbox(3)), payloadOf(n)[inboxLen:]...)
	bulk := "$128\r\n" + string(payload) + "\r\n" // as Redis has it
	cases := []struct {
		name, request, arrives, answer, returns string
		w                                       asker
	}{
		{
			name: "nats", w: natsWire{},
			request: "PUB bench.svc0000 inbox000003 128\r\n" + string(payloadOf(n)) + "\r\n",
			arrives: "MSG bench.svc0000 1 inbox000003 128\r\n" + string(payloadOf(n)) + "\r\n",
			answer:  "PUB inbox000003 128\r\n" + string(payloadOf(n)) + "\r\n",
			returns: "MSG inbox000003 1 128\r\n" + string(payloadOf(n)) + "\r\n",
		},
		{
			name: "redis", w: redisWire{},
			request: "*3\r\n$7\r\nPUBLISH\r\n$13\r\nbench.svc0000\r\n" + bulk,
			arrives: ">3\r\n$7\r\nmessage\r\n$13\r\nbench.svc0000\r\n" + bulk + ":1\r\n",
			answer:  "*3\r\n$7\r\nPUBLISH\r\n$11\r\ninbox000003\r\n" + bulk,
			returns: ":1\r\n>3\r\n$7\r\nmessage\r\n$11\r\ninbox000003\r\n" + bulk,
		},
		{
			name: "mqtt", w: mqttWire{},
			request: "\x30\x8f\x01\x00\x0dbench.svc0000" + string(payload),
			arrives: "\x30\x8f\x01\x00\x0dbench.svc0000" + string(payload),
			answer:  "\x30\x8d\x01\x00\x0binbox000003" + string(payload),
			returns: "\x30\x8d\x01\x00\x0binbox000003" + string(payload),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.w.appendRequest(nil, topic, 3, 0, payloadOf(n)); string(got) != c.request {
				t.Errorf("request %q", got)
			}
			if got := c.w.answered(topic, n); got != len(c.returns) {
				t.Errorf("answered %d, returns %d", got, len(c.returns))
			}
			in := []byte(strings.Repeat(c.arrives, 3))
			for cut := range len(in) + 1 {
				out, used := c.w.answer(nil, in[:cut])
				out, more := c.w.answer(out, in[used:])
				if used+more != len(in) || string(out) != strings.Repeat(c.answer, 3) {
					t.Fatalf("cut at %d: %d of %d bytes used, answer %q",
						cut, used+more, len(in), out)
				}
			}
		})
	}
}

func TestPeerDeliveries(t *testing.T) {
	for _, n := range []int{minPayload, 99, 100, 128, 16384, maxPayload} {
		payload := string(payloadOf(n))
		nats := fmt.Sprintf("MSG a.b 1 %d\r\n", n)
		redis := fmt.Sprintf(">3\r\n$7\r\nmessage\r\n$3\r\na.b\r\n$%d\r\n", n)
		mqtt := mqttWire{}.appendPublish(nil, "a.b", []byte(payload))
		centrifuge := `{"push":{"channel":"a.b","pub":{"data":"`
		for arrives, w := range map[string]wire{
			nats + payload + "\r\n":              natsWire{},
			redis + payload + "\r\n":             redisWire{},
			string(mqtt):                         mqttWire{},
			centrifuge + payload + `"}}}` + "\n": centrifugeWire{},
			nats + payload[:n-1] + "\r\n" + "x":  framedWire{inner: natsWire{}},
		} {
			if got := w.delivered("a.b", n); got != len(arrives) {
				t.Errorf("%T, %d bytes: delivered %d, arrives %d", w, n, got, len(arrives))
			}
		}
	}
}

// However frames are cut and however many messages one holds, the worth of what arrived is the
// same.
func TestTally(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perFrame := rapid.Int64Range(0, 1).Draw(t, "separator")
		w := framedWire{inner: centrifugeWire{}, perFrame: perFrame}
		messages := 0
		var stream []byte
		for _, n := range rapid.SliceOfN(rapid.IntRange(1, 9), 1, 20).Draw(t, "frames") {
			content := bytes.Repeat(append(payloadOf(100), '\n'), n)
			text := string(content[:len(content)-int(perFrame)])
			stream = append(stream, fromServer(true, text)...)
			messages += n
		}
		c, total := &conn{}, int64(0)
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "read")
			worth, _ := w.tally(c, stream[:n]) // never fails
			total += worth
			stream = stream[n:]
		}
		if total != int64(messages)*101 {
			t.Fatalf("%d bytes for %d messages of 101", total, messages)
		}
	})
}

func TestMQTTLength(t *testing.T) {
	for n, want := range map[int]string{
		0: "\x00", 127: "\x7f", 128: "\x80\x01", 16383: "\xff\x7f", 16384: "\x80\x80\x01",
	} {
		if got := mqttLength(n); string(got) != want {
			t.Errorf("%d: %x, want %x", n, got, want)
		}
	}
}
