package blackbox

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// natsBinary builds nats-server, as a program that only tests and benchmarks run.
var natsBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(serverBinary), "nats")
	build := exec.Command("go", "build", "-o", path, "./nats")
	build.Dir = filepath.Join("..", "..", "bench", "peers")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// natsServer is a running nats-server.
type natsServer struct {
	t    testing.TB
	port int
	file string    // configuration; empty: none
	cmd  *exec.Cmd // nil: it does not run
}

func startNATS(t testing.TB) *natsServer {
	t.Helper()
	s := &natsServer{t: t, port: freePorts(t, 1)[0]}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *natsServer) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *natsServer) start() {
	s.t.Helper()
	path, err := natsBinary()
	if err != nil {
		s.t.Fatalf("building nats-server: %v", err)
	}
	s.cmd = exec.Command(path, "-port", fmt.Sprint(s.port), "-config", s.file)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "nats-server listens", func() bool {
		c, err := net.Dial("tcp", s.address())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func (s *natsServer) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// startCluster starts nodes that know one another.
func startCluster(t testing.TB, bus *natsServer, names ...string) (nodes []*node) {
	t.Helper()
	for _, name := range names {
		nodes = append(nodes, startMember(t, bus, name))
	}
	for _, n := range nodes {
		n.awaitPeers(len(names) - 1)
	}
	return nodes
}

func startMember(t testing.TB, bus *natsServer, name string, more ...string) *node {
	t.Helper()
	return startNode(t, append([]string{
		"cluster.urls=nats://" + bus.address(), "cluster.node=" + name, "cluster.ackTimeout=10000",
		"loops=2",
	}, more...)...)
}

// clusterPage is what the tests read of /clusterz.
type clusterPage struct {
	Alone, Island bool
	Lost          uint64
	Waiting       int64
	Peers         []struct {
		Name, State             string
		Sent, Dropped, Received uint64
		Lost, Asked, Repaired   uint64
		Interest, Confirmed     uint64
		RttMs                   float64
	}
}

func (n *node) cluster() (p clusterPage) {
	n.t.Helper()
	status, body := n.probe("/clusterz")
	if err := json.Unmarshal([]byte(body), &p); status != http.StatusOK || err != nil {
		n.t.Fatalf("/clusterz: %d %s", status, body)
	}
	return p
}

// awaitPeers waits until so many others are live.
func (n *node) awaitPeers(count int) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%d other nodes are live", count), func() bool {
		live := 0
		page := n.cluster()
		for _, p := range page.Peers {
			if p.State == "live" {
				live++
			}
		}
		return live == count && !page.Island
	})
}

// A publish reaches the subscribers of all nodes, once each, in order, over each transport; its
// acknowledgement counts them all, and nobody is nobody on any node.
func TestS12_PublishesCross(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, startNATS(t), "a", "b", "c")
	from := nodes[0].dial(t, "tcp")
	from.send("publish:x.y:1.0.0:"+idA, `{}`)
	from.expectFault("response:x.y:1.0.0:"+idA, "NO_ROUTE_FOUND")
	var readers []*client
	for i, n := range nodes {
		for _, transport := range transports {
			c := n.dial(t, transport)
			c.subscribe("publish", "x.#")
			if i%2 == 0 {
				c.subscribe("publish", "x.+") // and gets one copy all the same
			}
			readers = append(readers, c)
		}
	}
	const count = 200
	for i := range count {
		from.send("publish:X.y:1.2.3", fmt.Sprint(i))
	}
	from.send("publish:x.y:1.0.0:"+idA, `"end"`)
	from.expectPayload("response:x.y:1.0.0:"+idA,
		fmt.Sprintf(`{"status":"success","subscribers":%d}`, len(readers)))
	for _, c := range readers {
		for i := range count {
			c.expectPayload("publish:X.y:1.2.3:*", fmt.Sprint(i))
		}
		c.expectPayload("publish:x.y:1.0.0:*", `"end"`)
	}
	for _, c := range readers {
		_ = c.peer.Close()
	}
	eventually(t, "nobody is left", func() bool {
		from.send("publish:x.y:1.0.0:"+idA, `{}`)
		return strings.Contains(string(from.recv().Payload), "NO_ROUTE_FOUND")
	})
}

// Binary and large payloads cross as they are.
func TestS12_PayloadsCross(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, startNATS(t), "a", "b")
	from, to := nodes[0].dial(t, "tcp"), nodes[1].dial(t, "ws")
	to.subscribe("publish", "x")
	for _, payload := range []string{"", "\xff\x00\n", strings.Repeat("a\xc3\xa4", 5000)} {
		from.send("publish:x:1.0.0", payload)
		m := to.expectPayload("publish:x:1.0.0:*", payload)
		if m.Text != (payload != "\xff\x00\n") {
			t.Errorf("%.10q came as text: %t", payload, m.Text)
		}
	}
}

// With NATS gone every node goes on alone; what would have crossed is counted and told, and all
// heals when it is back.
func TestS12_BusLost(t *testing.T) {
	t.Parallel()
	bus := startNATS(t)
	nodes := startCluster(t, bus, "a", "b")
	from, near, far := nodes[0].dial(t, "tcp"), nodes[0].dial(t, "ws"), nodes[1].dial(t, "tcp")
	near.subscribe("publish", "x")
	far.subscribe("publish", "x")
	bus.kill()
	eventually(t, "both are islands", func() bool {
		return nodes[0].cluster().Island && nodes[1].cluster().Island
	})
	const lost = 50
	for i := range lost {
		from.send("publish:x:1.0.0:"+idA, fmt.Sprint(i))
		from.expectPayload("response:x:1.0.0:"+idA,
			`{"status":"success","subscribers":1,"unconfirmed":1}`)
		near.expectPayload("publish:x:1.0.0:*", fmt.Sprint(i))
	}
	bus.start()
	m := far.expect("publish:system.dropped:1.0.0").object(t)
	if m["count"] != float64(lost) || m["atMost"] != true || m["reason"] != "cluster" {
		t.Errorf("told %v, %d were lost", m, lost)
	}
	for _, n := range nodes {
		n.awaitPeers(1)
	}
	from.send("publish:x:1.0.0:"+idA, `"again"`)
	from.expectPayload("response:x:1.0.0:"+idA, `{"status":"success","subscribers":2}`)
	far.expectPayload("publish:x:1.0.0:*", `"again"`)
	near.expectPayload("publish:x:1.0.0:*", `"again"`)
	near.none()
	if p := nodes[1].cluster(); p.Lost != lost {
		t.Errorf("/clusterz says that %d were lost", p.Lost)
	}
}

// A node that stands still is gone, and what was for it is told when it is back; one that is killed
// is gone within a second.
func TestS12_NodeLost(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, startNATS(t), "a", "b", "c")
	from, stood, killed := nodes[0].dial(t, "tcp"), nodes[1].dial(t, "tcp"), nodes[2].dial(t, "tcp")
	stood.subscribe("publish", "x")
	killed.subscribe("publish", "x")
	signal := func(n *node, s syscall.Signal) {
		if err := n.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(nodes[1], syscall.SIGSTOP)
	nodes[0].awaitPeers(1)
	from.send("publish:x:1.0.0:"+idA, "1")
	from.expectPayload("response:x:1.0.0:"+idA, `{"status":"success","subscribers":1}`)
	signal(nodes[1], syscall.SIGCONT)
	nodes[0].awaitPeers(2)
	from.send("publish:x:1.0.0:"+idA, "2")
	from.expectPayload("response:x:1.0.0:"+idA, `{"status":"success","subscribers":2}`)
	stood.expectPayload("publish:x:1.0.0:*", "2")
	killed.expectPayload("publish:x:1.0.0:*", "1")
	killed.expectPayload("publish:x:1.0.0:*", "2")
	nodes[2].stopped = true // it does not exit well
	signal(nodes[2], syscall.SIGKILL)
	nodes[0].awaitPeers(1)
	from.send("publish:x:1.0.0:"+idA, "3")
	from.expectPayload("response:x:1.0.0:"+idA, `{"status":"success","subscribers":1}`)
	stood.expectPayload("publish:x:1.0.0:*", "3")
}

// Who connects is told of the cluster, and the nodes tell of one another.
func TestS12_NodeList(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, startNATS(t), "a", "b")
	c := nodes[0].dial(t, "tcp")
	about, _ := c.initial["cluster"].(map[string]any)
	if about["name"] != "mb" || about["node"] != "a" {
		t.Errorf("system.initialize says %v", c.initial)
	}
	list := items(t, c.ok("system.node.list", ""), "nodes")
	if len(list) != 2 || list[0]["self"] != true || list[0]["id"] != c.initial["nodeId"] ||
		list[1]["name"] != "b" || list[1]["state"] != "live" {
		t.Errorf("nodes %v", list)
	}
	alone := startNode(t)
	c = alone.dial(t, "tcp")
	if list = items(t, c.ok("system.node.list", ""), "nodes"); len(list) != 1 ||
		list[0]["id"] != c.initial["nodeId"] {
		t.Errorf("nodes of one alone %v", list)
	}
	if p := alone.cluster(); !p.Alone || c.initial["cluster"] != nil {
		t.Errorf("a node alone has a cluster: %v %v", p, c.initial)
	}
}

// A node with fewer others than it should have is not ready.
func TestS12_Isolated(t *testing.T) {
	t.Parallel()
	bus := startNATS(t)
	a := startMember(t, bus, "a")
	b := startMember(t, bus, "b", "cluster.minPeers=1")
	a.terminate()
	eventually(t, "it is isolated", func() bool {
		status, body := b.probe("/readyz")
		return status == http.StatusServiceUnavailable && strings.TrimSpace(body) == "isolated"
	})
}

// A subscription to more patterns than a node may have is refused, and one to a pattern that is
// there already is not.
func TestS12_InterestLimit(t *testing.T) {
	t.Parallel()
	n := startMember(t, startNATS(t), "a", "cluster.interest.max=2")
	c := n.dial(t, "tcp")
	c.subscribe("publish", "a")
	c.subscribe("publish", "b")
	e := c.refused("system.topic.subscribe", `{"action":"publish","topic":"c"}`,
		"SERVICE_UNAVAILABLE")
	if e.Details["reason"] != "interest_limit" {
		t.Errorf("details %v", e.Details)
	}
	n.dial(t, "tcp").subscribe("publish", "b")
	c.refused("system.topic.subscribe", `{"action":"request","topic":"b"}`, "SERVICE_UNAVAILABLE")
	c.ok("system.topic.unsubscribe", `{"topic":"a"}`)
	c.subscribe("request", "c")
	c.subscribe("request", "c")
	c.refused("system.topic.subscribe", `{"action":"publish","topic":"c"}`, "SERVICE_UNAVAILABLE")
	c.ok("system.topic.unsubscribe", `{"topic":"c"}`)
	c.subscribe("publish", "c")
}

// A node that joins is ready only when it knows what the others want.
func TestS12_JoiningNodeKnows(t *testing.T) {
	t.Parallel()
	bus := startNATS(t)
	a := startMember(t, bus, "a")
	c := a.dial(t, "tcp")
	for i := range 500 {
		c.subscribe("publish", fmt.Sprintf("p%d.+.x", i))
	}
	from := startMember(t, bus, "b").dial(t, "tcp")
	for i := range 500 {
		from.send(fmt.Sprintf("publish:p%d.y.x:1.0.0:%s", i, idA), "{}")
		from.expectPayload(fmt.Sprintf("response:p%d.y.x:1.0.0:%s", i, idA),
			`{"status":"success","subscribers":1}`)
		c.expect(fmt.Sprintf("publish:p%d.y.x:1.0.0:*", i))
	}
}

// What alerts and dashboard ask for of a cluster is there, by node.
func TestS12_Metrics(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, startNATS(t), "a", "b")
	_, page := nodes[0].probe("/metrics")
	asked := regexp.MustCompile(`\bmb_cluster_\w+`)
	for _, file := range []string{"mb-server.rules.yml", "grafana.json"} {
		names := asked.FindAllString(recipe(t, file), -1)
		if len(names) < 5 {
			t.Errorf("%s asks for %q", file, names)
		}
		for _, name := range names {
			if !strings.Contains(page, "\n"+name+`{node="b"} `) &&
				!strings.Contains(page, "\n"+name+" ") {
				t.Errorf("%s: /metrics of a node in a cluster has no %s", file, name)
			}
		}
	}
}

// What is wrong between nodes is told while it is so.
func TestS12_Troubles(t *testing.T) {
	t.Parallel()
	bus := startNATS(t)
	b := startMember(t, bus, "b")
	a := startMember(t, bus, "a", "cluster.minPeers=1") // which is not ready alone
	a.awaitPeers(1)
	b.awaitPeers(1)
	far := b.dial(t, "tcp")
	far.subscribe("publish", "x")
	told := func(n *node, kind, cause, name string) func() bool {
		return func() bool {
			all := n.troubles(t, "")
			found := all.find(kind, cause)
			return found != nil && found.Name == name && found.Why != ""
		}
	}
	well := func(n *node) func() bool {
		return func() bool { return len(n.troubles(t, "").Troubles) == 0 }
	}
	eventually(t, "nothing is wrong", well(a))
	bus.kill()
	eventually(t, "both are isolated", func() bool {
		return told(a, "isolated", "bus", "")() && told(b, "isolated", "bus", "")()
	})
	a.dial(t, "tcp").send("publish:x:1.0.0", "1")
	eventually(t, "it is counted", func() bool { return a.cluster().publishesFor("b") == 1 })
	bus.start()
	far.expect("publish:system.dropped:1.0.0")
	eventually(t, "the loss is told", told(b, "nodes_lose", "", "a"))
	eventually(t, "all is well again", func() bool { return well(a)() && well(b)() })
	b.kill()
	eventually(t, "the other is gone", func() bool {
		return told(a, "node_gone", "", "b")() && told(a, "isolated", "peers", "")()
	})
	b = startMember(t, bus, "b")
	eventually(t, "it is back", well(a))
	b.stop()
	eventually(t, "who leaves is not missed", func() bool {
		all := a.troubles(t, "")
		return all.find("isolated", "peers") != nil && all.find("node_gone", "") == nil
	})
}
