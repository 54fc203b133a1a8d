package blackbox

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// way is a recipe of docs/deploy, and how one comes to the nodes behind it.
type way struct {
	name, node string
	looks      bool // whether it asks /readyz
	// start runs the balancer and returns what makes a connection through it.
	start func(t *testing.T, all []backend, readyPort string) func() (peer, error)
}

// unhurried gives nodes and test time to answer HAProxy, and has it ask often.
func unhurried(t testing.TB, text, readyPort string) string {
	return swap(t, text, "timeout check   1s", "timeout check 10s", "slowstart 10s", "",
		"port 3002 inter 500ms", "port "+readyPort+" inter 50ms")
}

// page returns what a browser's program does: mb.example at an address.
func page(listens string) func() (peer, error) {
	return func() (peer, error) {
		return (&visitor{}).upgrade("wss://"+listens, "Host: mb.example")
	}
}

var ways = []way{
	{"haproxy-tcp.cfg", "node-proxy.yaml", true,
		func(t *testing.T, all []backend, ready string) func() (peer, error) {
			listens := freeAddress(t)
			control := startHAProxy(t, servers(t, unhurried(t, recipe(t, "haproxy-tcp.cfg",
				"bind :3001", "bind "+listens, "bind :3000", "bind "+freeAddress(t)), ready), all),
				listens)
			knowsAbsent(t, control, "mb-tcp")
			return func() (peer, error) { return dialTCP(listens) }
		}},
	{"haproxy-http.cfg", "node-http.yaml", true,
		func(t *testing.T, all []backend, ready string) func() (peer, error) {
			listens := freeAddress(t)
			control := startHAProxy(t, servers(t, unhurried(t, recipe(t, "haproxy-http.cfg",
				"bind :443", "bind "+listens, "/etc/haproxy/mb.pem", certificates(t)), ready), all),
				listens)
			knowsAbsent(t, control, "mb")
			return page(listens)
		}},
	{"nginx.conf over tcp", "node-http.yaml", false,
		func(t *testing.T, all []backend, _ string) func() (peer, error) {
			listens := freeAddress(t)
			startNginx(t, servers(t, recipe(t, "nginx.conf", "listen 3001", "listen "+listens,
				"listen 443", "listen "+freeAddress(t)), all), listens)
			return func() (peer, error) { return dialTCP(listens) }
		}},
	{"nginx.conf over wss", "node-http.yaml", false,
		func(t *testing.T, all []backend, _ string) func() (peer, error) {
			listens := freeAddress(t)
			startNginx(t, servers(t, recipe(t, "nginx.conf", "listen 443", "listen "+listens,
				"listen 3001", "listen "+freeAddress(t)), all), listens)
			return page(listens)
		}},
	{"Caddyfile", "node-http.yaml", true,
		func(t *testing.T, all []backend, ready string) func() (peer, error) {
			listens := freeAddress(t)
			startCaddy(t, servers(t, recipe(t, "Caddyfile", "health_port 3002",
				"health_port "+ready, "health_interval 500ms", "health_interval 50ms",
				"health_timeout 1s", "health_timeout 10s"), all), listens)
			return page(listens)
		}},
}

// knowsAbsent waits until HAProxy has noticed that nobody is at the recipe's third address: with
// two nodes in trouble at once it may try these two in turns.
func knowsAbsent(t *testing.T, control, proxy string) {
	t.Helper()
	eventually(t, "HAProxy knows who is there", func() bool {
		return strings.HasPrefix(haproxyStat(t, control, proxy, "node3"), "DOWN")
	})
}

// welcomed connects through the balancer, which must do it at the first attempt.
func welcomed(t *testing.T, connect func() (peer, error)) *client {
	t.Helper()
	p, err := connect()
	if err != nil {
		t.Fatalf("a newcomer is not let in: %v", err)
	}
	return adopt(t, p, overTCP)
}

func (c *client) nodeID() string {
	id, _ := c.initial["nodeId"].(string)
	return id
}

// has says whether a connection is at the node.
func (n *node) has(c *client) bool {
	_, page := n.probe("/metrics")
	return strings.Contains(page, `node="`+c.nodeID()+`"`)
}

// A balancer sends nobody to a node that is not ready, leaves who is there alone, and uses the node
// again afterwards. From a node that has died newcomers come to another one at their first
// attempt, before the balancer knows of it.
func TestRecipe_NodeAway(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			all, port := startBackends(t, 2, w.node)
			connect := w.start(t, all, port)
			stays := welcomed(t, connect)
			away, other := 0, 1
			if !all[away].has(stays) {
				away, other = other, away
			}
			if w.looks {
				all[away].ready.Store(false)
				var held []*client
				eventually(t, "nobody comes to the node that is not ready", func() bool {
					for _, c := range held {
						_ = c.peer.Close()
					}
					held = nil
					for range 6 { // leastconn would send some to either
						held = append(held, welcomed(t, connect))
						if held[len(held)-1].nodeID() == stays.nodeID() {
							return false
						}
					}
					return true
				})
				stays.settle()
				all[away].ready.Store(true)
				eventually(t, "the node is used again", func() bool {
					c := welcomed(t, connect)
					_ = c.peer.Close()
					return c.nodeID() == stays.nodeID()
				})
			}
			all[other].kill()
			for range 6 {
				c := welcomed(t, connect)
				if c.nodeID() != stays.nodeID() {
					t.Fatal("the node that has died welcomes somebody")
				}
			}
			stays.settle()
		})
	}
}

// Who is refused over HTTP with 503 (a full node, a draining one) is tried at the next node.
func TestRecipe_NodeFull(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		if w.name != "haproxy-http.cfg" && w.name != "nginx.conf over wss" {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			all, port := startBackends(t, 2, w.node, "connection.max.concurrent=1")
			connect := w.start(t, all, port)
			at := make(map[string]int)
			for range 6 {
				at[welcomed(t, connect).nodeID()]++
			}
			if len(at) != 2 {
				t.Errorf("the full node was never tried: %v", at)
			}
		})
	}
}

// agent says for one node what HAProxy's agent check reads.
type agent struct {
	mu   sync.Mutex
	line string // Guarded by mu.
}

func (a *agent) say(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line = line
}

func (a *agent) serve(listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		a.mu.Lock()
		_, _ = io.WriteString(c, a.line+"\n") // HAProxy asks again
		a.mu.Unlock()
		_ = c.Close()
	}
}

// HAProxy gives each node newcomers as its agent line says.
func TestRecipe_Agent(t *testing.T) {
	t.Parallel()
	all, ready := startBackends(t, 2, "node-proxy.yaml")
	_, section, _ := strings.Cut(recipe(t, "README.md"), "\n## Weights by load\n")
	_, line, _ := strings.Cut(section, "\n    ")
	line, _, _ = strings.Cut(line, "\n")
	agents, port := make([]agent, len(all)), "0" // the first one's is anyone
	for i := range agents {
		host, _, _ := net.SplitHostPort(all[i].tcp)
		listener, err := net.Listen("tcp", host+":"+port)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(listener.Addr().String())
		t.Cleanup(func() { _ = listener.Close() })
		agents[i].say("up 100%")
		go agents[i].serve(listener)
	}
	line = swap(t, line, "agent-port 3003", "agent-port "+port, "agent-inter 1s",
		"agent-inter 50ms")
	listens := freeAddress(t)
	control := startHAProxy(t, servers(t, unhurried(t, recipe(t, "haproxy-tcp.cfg", "bind :3001",
		"bind "+listens, "bind :3000", "bind "+freeAddress(t),
		"\nlisten mb-tcp", "    "+line+"\n\nlisten mb-tcp"), ready), all), listens)
	server := func(state string) {
		t.Helper()
		eventually(t, "HAProxy has the first node as "+state, func() bool {
			return haproxyStat(t, control, "mb-tcp", "node1") == state
		})
	}
	connect := func() (peer, error) { return dialTCP(listens) }
	server("UP 100")
	agents[0].say("up 75%")
	server("UP 75")
	stays := welcomed(t, connect)
	for !all[0].has(stays) {
		stays = welcomed(t, connect)
	}
	agents[0].say("up 0%")
	server("UP 0")
	for range 4 {
		if c := welcomed(t, connect); c.nodeID() == stays.nodeID() {
			t.Error("a node of weight 0 gets a newcomer")
		}
	}
	stays.settle()
	agents[0].say("up 50%") // the next node at this address, which need not know of the last one
	server("UP 50")
}

// haproxyStat asks HAProxy for state and weight of a server.
func haproxyStat(t *testing.T, control, proxy, server string) string {
	t.Helper()
	c, err := net.Dial("unix", control)
	if err != nil {
		return "" // it still starts
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "show stat\n"); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	names := strings.Split(strings.TrimPrefix(lines[0], "# "), ",")
	for _, line := range lines[1:] {
		fields := make(map[string]string)
		for i, v := range strings.Split(line, ",") {
			if i < len(names) {
				fields[names[i]] = v
			}
		}
		if fields["pxname"] == proxy && fields["svname"] == server {
			word, _, _ := strings.Cut(fields["status"], " ") // "UP 1/2", "DRAIN (agent)"
			return word + " " + fields["weight"]
		}
	}
	t.Fatalf("HAProxy does not know %s/%s:\n%s", proxy, server, text)
	return ""
}
