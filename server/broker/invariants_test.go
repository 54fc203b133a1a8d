//go:build race || simfault

package broker

import (
	"strings"
	"testing"

	"mbserver/server/metrics"
)

// A loop whose books are wrong says so at the end of its turn, and lives.
func TestInvariantsAreLookedAt(t *testing.T) {
	for what, breakIt := range map[string]func(l *Loop, c *testClient){
		"is charged -1":    func(l *Loop, _ *testClient) { l.charge = -1 },
		"publishes wait":   func(l *Loop, _ *testClient) { l.parkedCount = -1 },
		"requests in":      func(l *Loop, _ *testClient) { l.outstanding.count = -1 },
		"outstanding are":  func(_ *Loop, c *testClient) { c.service.outstanding.Store(-1) },
		"was left behind:": func(_ *Loop, c *testClient) { c.Conn.state = stateClosing },
	} {
		n := newTestNode(t, 1, 1, nil)
		c, l := n.connect(0, TransportTCP), n.loops[0]
		n.settle()
		breakIt(l, c)
		l.Run()
		if len(n.faults) != 1 || !strings.Contains(n.faults[0], what) {
			t.Errorf("%s is not noticed: %q", what, n.faults)
		}
		if l.counts[metrics.Panics] != 1 {
			t.Errorf("%s: %d faults are counted", what, l.counts[metrics.Panics])
		}
	}
}
