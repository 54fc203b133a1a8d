package broker

import (
	"testing"

	"mbserver/server/config"
	"mbserver/server/limit"
	"mbserver/server/metrics"
)

// Loops that have not paid for what they let through exceed a limit they share by a small part of
// it at most.
func TestPassesOfSeveralLoops(t *testing.T) {
	const perSecond = 1000
	for _, loops := range []int{1, 2, 8} {
		n := newTestNode(t, 1, loops, func(cfg *config.Config) { cfg.RateLimit.Total = perSecond })
		clients := make([]*testClient, loops)
		for i := range clients {
			clients[i] = n.connect(i, TransportTCP)
		}
		n.settle()
		n.advance(2000) // the limit is whole again, whatever the clients were told
		quiet(clients...)
		passed := func() (total uint64) {
			for _, l := range n.loops {
				total += l.counts[metrics.Messages] - l.counts[metrics.Limited]
			}
			return total
		}
		before := passed()
		for i, k := range clients {
			publish, count := k.again("publish:a.b:1.0.0\nx"), limit.CreditMax+2
			if i == loops-1 {
				count = 2 * perSecond // it floods, while none of the others' turns has ended
			}
			for range count {
				publish()
			}
		}
		got := int(passed() - before)
		most := perSecond + perSecond/limit.CreditShare
		if got < perSecond || got > most || loops == 1 && got != perSecond {
			t.Errorf("%d loops: %d messages pass, the limit is %d", loops, got, perSecond)
		}
		n.settle()
	}
}
