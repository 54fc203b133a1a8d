package broker

import (
	"net/netip"
	"testing"
)

// Over the budget newcomers are refused, and say why; within it they are let in again.
func TestAdmitWithinTheBudget(t *testing.T) {
	n := newTestNode(t, 1, 2, nil)
	n.loops[1].charged.Store(n.budget.full + 1)
	if got := n.Admit(netip.Addr{}); got != "memory" || n.connections.Load() != 0 {
		t.Errorf("refused with %q, %d connections", got, n.connections.Load())
	}
	n.loops[1].charged.Store(n.budget.full - connectionCharge)
	if got := n.Admit(netip.Addr{}); got != "" || n.connections.Load() != 1 {
		t.Errorf("refused with %q, %d connections", got, n.connections.Load())
	}
}
