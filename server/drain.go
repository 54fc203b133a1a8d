package server

import "mbserver/codec"

// nodeState is where a node stands in its life.
type nodeState int32

const (
	nodeNew nodeState = iota
	nodeAccepting
	nodeDraining
	nodeStopped
)

// release gives a connection's place back.
func (n *Node) release() {
	if n.connections.Add(-1) == 0 {
		select {
		case n.empty <- struct{}{}:
		default:
		}
	}
}

// accepting says whether new connections and requests are taken.
func (n *Node) accepting() bool { return nodeState(n.state.Load()) == nodeAccepting }

// loopFor returns the loop with the fewest connections and counts one more for it.
func (n *Node) loopFor() *loop {
	best := n.loops[0]
	for _, l := range n.loops[1:] {
		if l.load.Load() < best.load.Load() {
			best = l
		}
	}
	best.load.Add(1)
	return best
}

// goAway closes every connection of the loop after its last messages.
func (l *loop) goAway() {
	for _, c := range l.conns {
		if c != nil && c.state == stateOpen {
			l.closeWS(c, codec.CloseGoingAway, "the server is going away")
		}
	}
}
