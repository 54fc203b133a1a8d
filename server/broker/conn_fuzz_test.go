package broker

import (
	"testing"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/server/metrics"
)

// FuzzConnection holds a node to: whatever a connection sends, over either framing and however cut,
// is no fault of the node's; all that comes back can be read; others are served; and when it has
// gone nothing of it stays.
func FuzzConnection(f *testing.F) {
	ws := func(kind codec.Kind, s string) []byte {
		return codec.AppendWSFrame(nil, kind, [4]byte{1, 2, 3, 4}, []byte(s))
	}
	tcp := func(s string) []byte { return append(codec.AppendTCPHeader(nil, len(s)), s...) }
	const id = testRequestID
	for _, s := range []string{
		"publish:a.b:1.0.0\nx", "request:a.b:1.0.0:" + id + "\n", "response:a:1.0.0:" + id + "\n",
		"request:system.auth:1.0.0:" + id + "\n" + `{"token":"x"}`,
		"request:system.heartbeat:1.0.0\n", "request:system.explain:1.0.0\n{}",
		"request:system.log.subscribe:1.0.0\n" + `{"levels":["debug"],"regex":"(a*)*"}`,
		"request:system.topic.subscribe:1.0.0\n" + `{"action":"both","topic":"a.#","priority":1}`,
		"request:system.topic.unsubscribe:1.0.0\n" + `{"topic":"a.#"}`,
		"request:system.topic.subscriptions:1.0.0\n", "request:system.topic.list:1.0.0\n",
		"request:system.service.register:1.0.0\n" + `{"name":"a","description":"b"}`,
		"request:system.service.list:1.0.0\n", "request:system.service.subscriptions:1.0.0\n",
		"request:system.metrics:1.0.0\n" + `{"showAll":true,"paramFilter":["a"]}`, ":::\n", "",
	} {
		f.Add(tcp(s), uint16(7), false)
		f.Add(ws(codec.Text, s), uint16(3), true)
		f.Add(append(ws(codec.Ping, "p"), ws(codec.Binary, s)...), uint16(300), true)
	}
	f.Add(ws(codec.Close, "\x03\xe8bye"), uint16(1), true)
	f.Fuzz(func(t *testing.T, stream []byte, piece uint16, overWS bool) {
		n := newTestNode(t, 1, 2, func(cfg *config.Config) { cfg.Message.PayloadMaxLength = 4096 })
		there, transport := n.connect(1, TransportTCP), TransportTCP
		if overWS {
			transport = TransportWS
		}
		k := n.connect(0, transport)
		n.settle()
		there.messages()
		for len(stream) > 0 && k.state == stateOpen {
			size := min(len(stream), int(piece)+1)
			k.arrive(append([]byte(nil), stream[:size]...))
			n.settle()
			stream = stream[size:]
		}
		if _, err := k.take(); err != nil {
			t.Fatal("what came back cannot be read:", err)
		}
		there.send("request:system.heartbeat:1.0.0:" + testRequestID + "\n")
		n.settle()
		answered := false
		for _, m := range there.messages() {
			answered = answered || string(m.RequestID) == testRequestID
		}
		if !answered {
			t.Fatal("the other one is not answered")
		}
		if k.state != stateGone {
			k.hangUp(true)
		}
		n.settle()
		for _, l := range n.loops {
			if l.counts[metrics.Panics] != 0 {
				t.Fatal("a fault of the node's")
			}
		}
		there.hangUp(true)
		n.pass(10_000)
		if held := n.charged(); held != 0 || n.connections.Load() != 0 {
			t.Fatalf("%d bytes and %d connections are left", held, n.connections.Load())
		}
	})
}
