package broker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/server/metrics"
)

// readings are payloads that compress as JSON does.
func readings(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, `{"sensor":"s%d","value":%d.%d,"unit":"C"},`, i%7, i*31%100, i*7%10)
	}
	return b.String()[:size]
}

// noise does not compress.
func noise(size int) string {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}

// compressing connects count clients that take compressed messages, and subscribes them.
func (n *testNode) compressing(count, loop int, topic string) (ks []*testClient) {
	for range count {
		k := n.connectAs(loop, TransportWS, true)
		k.send("request:system.topic.subscribe:1.0.0\n" +
			`{"action":"publish","topic":"` + topic + `"}`)
		ks = append(ks, k)
	}
	n.settle()
	for _, k := range ks {
		k.messages()
	}
	return ks
}

func (n *testNode) deflate() (s metrics.DeflateSample) {
	return n.Sample(time.UnixMilli(testEpoch + n.ms)).Deflate
}

// A publish is compressed once on each loop that has somebody who takes it so, however many they
// are and whatever way it goes; with back pressure too, where each may get it at another time.
func TestDeflateOnce(t *testing.T) {
	for _, patient := range []bool{false, true} {
		for _, size := range []int{1000, 20_000} { // the larger is shared, not copied
			t.Run(fmt.Sprintf("patient=%v/bytes=%d", patient, size), func(t *testing.T) {
				n := newTestNode(t, 1, 2, func(cfg *config.Config) {
					cfg.Message.PayloadMaxLength = 40_000
					cfg.Connection.OutboundBytes = 100_000
					if patient {
						cfg.Connection.Backpressure = config.BackpressurePause
					}
				})
				ks := append(n.compressing(20, 0, "a.b"), n.compressing(20, 1, "a.b")...)
				plain := n.subscribers(5, 1, TransportTCP, "publish", "a.b")
				p := n.connect(0, TransportTCP)
				n.settle()
				if patient { // some have no room, and get it later
					for _, k := range []*testClient{ks[0], ks[1], ks[20], ks[21]} {
						k.sock.unlimited = false
						for k.Conn.hasRoom(size + 100) {
							k.loop.begin()
							k.loop.tell(k.Conn, []byte("publish:x:1.0.0\n"+readings(300)))
							k.loop.flush()
						}
					}
					n.settle()
				}
				before, charge := n.deflate().Out.Messages, n.loops[0].charge
				payload := readings(size)
				p.send("publish:a.b:1.0.0:" + testRequestID + "\n" + payload)
				n.settle()
				if patient {
					waits := n.loops[0].parkedCount + n.loops[1].parkedCount
					if more := n.loops[0].charge - charge; waits != 4 || more < int64(size) {
						t.Fatalf("%d wait, %d bytes more are charged", waits, more)
					}
				}
				for _, k := range ks {
					k.unblock(0, true)
				}
				n.settle()
				for i, k := range append(ks, plain...) {
					ms := k.messages()
					if last := ms[len(ms)-1]; string(last.payload) != payload {
						t.Errorf("client %d: %d messages, %s", i, len(ms), last.header)
					}
				}
				// The acknowledgement is too small.
				if got := n.deflate().Out.Messages - before; got != 2 {
					t.Errorf("compressed %d times, on two loops", got)
				}
				if !patient && n.loops[0].charge != charge {
					t.Errorf("%d bytes are charged, %d before", n.loops[0].charge, charge)
				}
			})
		}
	}
}

func TestDeflateAllocations(t *testing.T) {
	for _, count := range []int{1, 100} {
		for _, size := range []int{600, 8000} {
			for _, loops := range []int{1, 2} {
				name := fmt.Sprintf("subscribers=%d/loops=%d/bytes=%d", count, loops, size)
				t.Run(name, func(t *testing.T) {
					n := newTestNode(t, 1, loops, nil)
					ks := n.compressing(count, loops-1, "a.b")
					p := n.connectAs(0, TransportWS, true)
					n.settle()
					quiet(append(ks, p)...)
					publish := p.again("publish:a.b:1.0.0\n" + readings(size))
					before, sent, runs := n.deflate(), n.sent(), uint64(0)
					holdAtZero(t, func() { publish(); n.settle(); runs++ })
					after := n.deflate()
					if got := n.sent() - sent; got != runs*uint64(count) {
						t.Errorf("%d messages of %d", got, runs*uint64(count))
					}
					if out, in := after.Out.Messages-before.Out.Messages,
						after.In.Messages-before.In.Messages; out != runs || in != runs {
						t.Errorf("%d compressed and %d inflated in %d runs", out, in, runs)
					}
				})
			}
		}
	}
}

// Whoever sends what takes long to inflate does not keep the loop: others are served in between,
// and what is left over stays in order.
func TestDeflateGivesWay(t *testing.T) {
	n := newTestNode(t, 1, 1, func(cfg *config.Config) {
		cfg.Message.PayloadMaxLength = 4 << 20
		cfg.Connection.OutboundBytes = 16 << 20
		cfg.Memory.Limit = 256 << 20
	})
	n.tick = quantum / 2 // two looks at the clock, and the time is over
	k, other := n.connectAs(0, TransportWS, true), n.connect(0, TransportTCP)
	n.settle()
	k.messages()
	other.messages()
	l := n.loops[0]
	before := n.deflate().In.Messages
	// A megabyte of zeros, and one of noise, then something small.
	var in []byte
	for _, payload := range []string{strings.Repeat("\x00", 1<<20), noise(1 << 20)} {
		p := new(codec.Deflater)
		msg := "publish:a.b:1.0.0:" + testRequestID + "\n" + payload
		b, _ := p.Deflate([]byte(msg), nil)
		frame := codec.AppendWSFrame(nil, codec.Binary, [4]byte{1, 2, 3, 4}, b)
		frame[0] |= 0x40
		in = append(in, frame...)
	}
	beat := "request:system.heartbeat:1.0.0:" + testRequestID + "\n{}"
	k.arrive(append(in, k.frame([]byte(beat), true)...))
	turns, held := 0, 0
	for ; n.drivers[0].scheduled && turns < 1000; turns++ {
		other.send(beat)
		n.run(0)
		if ms := other.messages(); len(ms) != 1 {
			t.Fatalf("turn %d: %d answers", turns, len(ms))
		}
		held = max(held, k.dec.Buffered())
	}
	ms := k.messages()
	if turns < 20 || len(ms) != 3 || !strings.HasPrefix(ms[2].header, "response:system.heartbeat") {
		t.Errorf("%d turns, %d answers", turns, len(ms))
	}
	if got := n.deflate().In.Messages - before; got != 3 || held < 1<<20 || held > 6<<20 ||
		l.charge != k.storyCharge() {
		t.Errorf("%d inflated, %d bytes were held, %d are charged", got, held, l.charge)
	}
}

// Who leaves in the middle leaves nothing.
func TestDeflateLeaves(t *testing.T) {
	n := newTestNode(t, 1, 1, func(cfg *config.Config) {
		cfg.Message.PayloadMaxLength = 4 << 20
		cfg.Connection.OutboundBytes = 16 << 20
		cfg.Memory.Limit = 256 << 20
	})
	n.tick = quantum
	k := n.connectAs(0, TransportWS, true)
	n.settle()
	p, _ := new(codec.Deflater).Deflate([]byte(noise(1<<20)), nil)
	frame := codec.AppendWSFrame(nil, codec.Binary, [4]byte{1, 2, 3, 4}, p)
	frame[0] |= 0x40
	k.arrive(frame)
	n.run(0)
	n.run(0)
	if k.dec.Buffered() < 1<<20 || k.charge() < 1<<20 {
		t.Fatalf("%d bytes are held, %d charged", k.dec.Buffered(), k.charge())
	}
	k.hangUp(true)
	n.settle()
	if l := n.loops[0]; l.charge != 0 || n.deflate().Connections != 0 {
		t.Errorf("%d bytes are charged, %d connections", l.charge, n.deflate().Connections)
	}
}

// BenchmarkDeflateFanOut is BenchmarkFanOut with 1 KiB of JSON for 1,000 subscribers, which takes
// those who compress one compression more.
func BenchmarkDeflateFanOut(b *testing.B) {
	for _, deflate := range []bool{false, true} {
		for _, count := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("deflate=%v/subscribers=%d", deflate, count), func(b *testing.B) {
				n := newTestNode(b, 1, 1, nil)
				var ks []*testClient
				if deflate {
					ks = n.compressing(count, 0, "a.b")
				} else {
					ks = n.subscribers(count, 0, TransportWS, "publish", "a.b")
				}
				p := n.connect(0, TransportTCP)
				n.settle()
				quiet(append(ks, p)...)
				publish := p.again("publish:a.b:1.0.0\n" + readings(1024))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					publish()
					if i%16 == 15 {
						n.settle()
					}
				}
				n.settle()
				perPublish := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				b.ReportMetric(perPublish/float64(count), "ns/delivery")
			})
		}
	}
}
