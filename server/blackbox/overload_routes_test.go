package blackbox

import (
	"fmt"
	"testing"
)

// Many services take requests on every topic, and somebody asks on very many: what the node
// remembers leads to each service once for each loop, not once for each topic, and ends with them.
func TestOverload_RoutesOfManyTopics(t *testing.T) {
	t.Parallel()
	n := startNode(t, "loops=2", "max.outstanding.requests=20000")
	const services, topics = 150, 4000
	var all []*client
	for range services {
		c := n.dial(t, overTCP)
		c.subscribe("request", "#")
		all = append(all, c)
	}
	asker := n.dial(t, overTCP)
	var batch []byte
	for i := range topics {
		batch = appendFrame(batch, fmt.Appendf(nil, "request:routes.t%d:1.0.0\nx", i))
	}
	before := n.counter(t, "mb_requests_total")
	if err := asker.peer.(*tcpPeer).write(batch); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are taken", func() bool {
		return n.counter(t, "mb_requests_total") == before+topics
	})
	asker.ok("system.heartbeat", "{}")
	got := n.counter(t, "mb_route_targets")
	if got < services || got > 2*services {
		t.Errorf("%d targets are remembered of %d services", got, services)
	}
	for _, c := range all {
		_ = c.peer.Close()
	}
	eventually(t, "they are forgotten", func() bool {
		asker.ok("system.heartbeat", "{}")
		return n.counter(t, "mb_route_targets") == 0
	})
}
