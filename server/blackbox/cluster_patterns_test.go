package blackbox

import (
	"flag"
	"fmt"
	"strings"
	"testing"
)

var clusterPatterns = flag.Int("cluster.patterns", 3000,
	"patterns of TestS12_PatternsOfAPeer, which judges what they take from 50,000 on")

// All patterns of a node come to one that was there, and to one that joins; what 100,000 take at
// either is less than 30 MB.
func TestS12_PatternsOfAPeer(t *testing.T) {
	t.Parallel()
	const most = 300 // bytes for each
	bus := startNATS(t)
	a := startMember(t, bus, "a", "connection.max.subscriptions=100000")
	b := startMember(t, bus, "b")
	b.awaitPeers(1)
	before := b.resident()
	c := a.dial(t, "tcp")
	count := *clusterPatterns
	for begun := 0; begun < count; {
		n := min(500, count-begun)
		for i := range n {
			c.send("request:system.topic.subscribe:1.0.0:"+idA, fmt.Sprintf(
				`{"action":"publish","topic":"flights.gate%07d"}`, begun+i))
		}
		for range n {
			c.expectPayload("response:system.topic.subscribe:1.0.0:"+idA, `{"status":"success"}`)
		}
		begun += n
	}
	knows := func(n *node) func() bool {
		return func() bool {
			_, page := n.probe("/metrics")
			return strings.Contains(page,
				fmt.Sprintf("mb_cluster_patterns{node=\"a\"} %d\n", count))
		}
	}
	eventually(t, "b has all patterns", knows(b))
	fresh := startMember(t, startNATS(t), "c").resident()
	joins := startMember(t, bus, "c")
	eventually(t, "c has all patterns", knows(joins))
	for what, size := range map[string]int{
		"one by one": b.resident() - before, "at once": joins.resident() - fresh,
	} {
		t.Logf("%d patterns %s: %.1f MB", count, what, float64(size)/1e6)
		if count >= 50_000 && size > most*count {
			t.Errorf("%d patterns take %d bytes %s", count, size, what)
		}
	}
}
