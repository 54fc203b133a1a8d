package broker

import (
	"fmt"
	"testing"

	"mbserver/server/event"
	"mbserver/server/trouble"
)

// BenchmarkTroubles is one report of a node with many connections, of which none, one, or all have
// something wrong with them. It is made beside the loops, four times a second at the most.
func BenchmarkTroubles(b *testing.B) {
	const clients = 18_000
	for _, ailing := range []int{0, 1, clients} {
		b.Run(fmt.Sprintf("of=%d/ailing=%d", clients, ailing), func(b *testing.B) {
			n := newTestNode(b, 1, 2, nil)
			for i := range clients {
				k := n.connect(i%2, TransportTCP)
				k.sock.discard = true
				if i < ailing {
					k.comes(event.Limited, 0, "")
				}
			}
			n.settle()
			count := 0
			for b.Loop() {
				n.ills.made = 0
				report := n.Troubles()
				count = report.Counts[trouble.LimitedClient]
			}
			if count != ailing {
				b.Errorf("%d are told", count)
			}
		})
	}
}

// BenchmarkComeAndGo is a connection that is opened and ends.
func BenchmarkComeAndGo(b *testing.B) {
	n := newTestNode(b, 1, 1, nil)
	b.ReportAllocs()
	for b.Loop() {
		n.connect(0, TransportTCP).hangUp(false)
		n.settle()
	}
}
