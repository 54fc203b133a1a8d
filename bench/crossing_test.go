//go:build linux

package bench

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// The order of connecting puts a sender and its only receiver on different loops. Other scenarios
// cross as it happens: services/16 not at all, since services and clients both begin on one loop.
func TestCrossing(t *testing.T) {
	for _, c := range []struct {
		scenario, transport string
		loops               int
		want                float64
	}{
		{"fan-out/1", "tcp", 2, 100}, {"fan-out/1", "tcp", 3, 100}, {"fan-out/1", "tcp", 4, 100},
		{"pairs/50", "tcp", 2, 100}, {"pairs/50", "tcp", 3, 100}, {"pairs/50", "tcp", 4, 100},
		{"pairs/50", "ws", 2, 100}, {"request/1x256", "tcp", 2, 100},
		{"fan-out/10", "tcp", 2, 50}, {"services/16", "tcp", 2, 0},
	} {
		t.Run(fmt.Sprintf("%s %s %d", c.scenario, c.transport, c.loops), func(t *testing.T) {
			r := runOnLoops(t, c.scenario, c.loops, c.transport)
			m := r.find(c.scenario, nodeWith(c.loops), c.transport, minPayload, metricCrosses)
			if m == nil || len(m.Values) != 1 || m.Values[0] != c.want {
				t.Errorf("%+v, want %v", m, c.want)
			}
		})
	}
}

// runOnLoops measures a scenario once against a node of so many loops in this process.
func runOnLoops(t *testing.T, scenario string, loops int, transport string) *Results {
	t.Helper()
	o := short(t)
	s, err := selected([]string{scenario})
	if err != nil {
		t.Fatal(err)
	}
	server := &process{pid: os.Getpid(), at: place{address: startNode(t, loops, nil)[transport]}}
	w := mbWire{ws: transport == "ws"}
	if err := server.ready(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	l, err := newLoop(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	try := &try{
		runner: &runner{Options: o, results: &Results{}}, s: s[0], server: server, loop: l, wire: w,
		payload: minPayload, at: server.at,
		into: Measure{
			Scenario: scenario, Target: nodeWith(loops), Transport: transport, Payload: minPayload,
		},
	}
	if err := try.run(); err != nil {
		t.Fatal(err)
	}
	return try.results
}
