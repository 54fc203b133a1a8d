package broker

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// BenchmarkTraced is a publish to ten subscribers, and a request with its answer, while nobody
// looks, while somebody has armed for other topics, and for the very one.
func BenchmarkTraced(b *testing.B) {
	for _, armed := range []string{"", "other.+.topic", "a.+"} {
		arm := func(n *testNode, k *testClient) {
			if armed != "" {
				k.explain(`{"armMs":600000,"topic":"` + armed + `"}`)
			}
		}
		b.Run(fmt.Sprintf("publish/armed=%s", armed), func(b *testing.B) {
			n := newTestNode(b, 1, 1, nil)
			ks := n.subscribers(10, 0, TransportTCP, "publish", "a.b")
			p := n.anonymous()
			arm(n, p)
			quiet(append(ks, p)...)
			publish := p.again("publish:a.b:1.0.0\n" + strings.Repeat("x", 128))
			for i := 0; b.Loop(); i++ {
				publish()
				if i%16 == 15 {
					n.settle()
				}
			}
			n.settle()
		})
		b.Run(fmt.Sprintf("request/armed=%s", armed), func(b *testing.B) {
			n := newTestNode(b, 1, 1, nil)
			s := n.subscribers(1, 0, TransportTCP, "request", "a.b")[0]
			c := n.anonymous()
			arm(n, c)
			quiet(s, c)
			request := c.again(message("request", "a.b") + strings.Repeat("x", 127))
			var frame []byte
			for b.Loop() {
				request()
				n.settle()
				frame = appendAnswer(frame[:0], s.openEntry())
				s.loop.begin()
				s.Conn.receive(frame, math.MaxInt, math.MaxInt)
				n.settle()
			}
		})
	}
}
