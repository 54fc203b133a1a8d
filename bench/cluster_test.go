//go:build linux

package bench

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// built makes the node and nats-server, and returns where they are.
func built(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for from, what := range map[string]string{"..": "./cmd/mb-server", "peers": "./nats"} {
		build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), what)
		build.Dir = from
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
	}
	return dir
}

// Real nodes of a few milliseconds: what is published at one arrives at the other, to the byte, and
// each part has its CPU time.
func TestSmokeCluster(t *testing.T) {
	dir := built(t)
	o := short(t, "cluster/1", "cluster/latency")
	o.Targets, o.Transports, o.PID = []string{"mb", "nats"}, []string{"tcp"}, 0
	o.Node, o.Peers = filepath.Join(dir, "mb-server"), dir
	r := smoke(t, o)
	about := r.Settings.Servers["mb"]
	if !strings.Contains(about, "of several nodes GOMAXPROCS=2, over nats-server") {
		t.Errorf("mb is %q", about)
	}
	of := func(target, metric string) float64 {
		m := r.find("cluster/1", target, "tcp", 128, metric)
		if m == nil {
			return 0
		}
		return m.Median()
	}
	for target, parts := range map[string][]string{
		"mb": {metricNear, metricFar, metricBus}, "nats": {metricNear, metricFar},
	} {
		left := of(target, metricCPU)
		for _, part := range parts {
			if of(target, part) <= 0 {
				t.Errorf("%s has no %s", target, part)
			}
			left -= of(target, part)
		}
		if all := of(target, metricCPU); left < -all/1000 || left > all/1000 {
			t.Errorf("%s: %v ns of %v are of no part", target, left, all)
		}
	}
	o.Scenarios, o.Targets = []string{"cluster/1x256"}, []string{"nats"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := Run(ctx, o); err != nil {
		t.Errorf("requests: %v", err)
	}
}

// Nodes that know nothing of each other are no cluster: the run says so, and does not hang.
func TestReach(t *testing.T) {
	near, far := startNode(t, 1, nil)["tcp"], startNode(t, 1, nil)["tcp"]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := newLoop(ctx, mbWire{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	at := &process{far: &process{at: place{address: far}}}
	try := &try{runner: &runner{}, server: at, loop: l, wire: mbWire{}, payload: 128,
		at: place{address: near}}
	if err := try.reach(0, try.at, try.at); err != nil {
		t.Errorf("a node that reaches itself: %v", err)
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := try.settled(nil); !errors.Is(err, context.Canceled) {
		t.Errorf("two that know nothing of each other: %v", err)
	}
	for r, want := range map[role]string{
		publisher: near, requester: near, subscriber: far, responder: far, idler: near,
	} {
		if got := try.placeOf(r).address; got != want {
			t.Errorf("role %d is at %s, want %s", r, got, want)
		}
	}
}

// Several nodes are measured when they are named, of those that can be several.
func TestClusterIsNamed(t *testing.T) {
	across := func(s Scenario) bool { return s.across }
	if slices.ContainsFunc(nodeScenarios(), across) {
		t.Error("what needs more than a node is measured unasked")
	}
	some, err := selected([]string{"cluster"})
	if err != nil || len(some) < 6 {
		t.Fatalf("%d scenarios, %v", len(some), err)
	}
	r := &runner{}
	for target, want := range map[string]bool{
		"mb": true, "mb-2": true, "nats": true, "redis": false, mqttBroker: false, "raw": false,
	} {
		if got := r.fits(some[0], target, "tcp", wireFor(target, "tcp")); got != want {
			t.Errorf("%s: %v", target, got)
		}
	}
	r.Address = map[string]string{"tcp": "127.0.0.1:1"}
	if r.fits(some[0], "mb", "tcp", mbWire{}) {
		t.Error("one node that runs already is taken for several")
	}
	o := short(t, "cluster")
	o.Node, o.Peers = os.Args[0], t.TempDir()
	if _, err := Run(context.Background(), o); err == nil ||
		!strings.Contains(err.Error(), "nats: there is no ") {
		t.Errorf("without nats-server: %v", err)
	}
}
