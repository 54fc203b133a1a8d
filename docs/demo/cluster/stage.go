package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"mbserver/bench/proc"
)

// names are the nodes', as docs/deploy/cluster has them.
var names = [...]string{"one", "two", "three"}

// node is one of the nodes.
type node struct {
	// Immutable.
	name           string
	config         string // its file
	tcp, ws, admin int    // ports

	// Owned by main's goroutine.
	process *process

	// Guarded by mu.
	mu     sync.Mutex
	killed bool
	ready  string // what /readyz says; empty: it does not answer
	live   int    // other nodes that are live for it
	island bool   // NATS does not answer it
}

// stage is what the demo runs: the files of docs/deploy/cluster, on ports of this machine that are
// free.
type stage struct {
	bin, folder string
	fail        func(error) // ends the demo
	front       string      // what clients know: HAProxy
	bus         string      // nats-server's configuration
	balancer    string      // HAProxy's
	nats        *process
	nodes       []*node
	all         []*process // whatever was started

	// Guarded by mu.
	mu    sync.Mutex
	named map[string]string // the nodes by the IDs of their runs
}

// adapt is a file of docs/deploy/cluster, some of it replaced: old and new in turn.
func adapt(name string, pairs ...string) (string, error) {
	b, err := os.ReadFile(filepath.Join("docs", "deploy", "cluster", name))
	if err != nil {
		return "", err
	}
	text := string(b)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			return "", fmt.Errorf("%s has no %q", name, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text, nil
}

func local(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// prepare writes the files, into a folder that is there.
func (s *stage) prepare() (err error) {
	var ports [3*len(names) + 2]int
	for i := range ports {
		if ports[i], err = proc.FreePort(); err != nil {
			return err
		}
	}
	bus, front := local(ports[0]), local(ports[1])
	s.front, s.named = "tcp://"+front, make(map[string]string)
	write := func(name, text string) string {
		path := filepath.Join(s.folder, name)
		if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		return path
	}
	text, err := adapt("nats.conf", "10.0.0.3:4222", bus)
	s.bus = write("nats.conf", text)
	balancer := []string{"bind :3001", "bind " + front, "maxconn 100000", "maxconn 100",
		"stats socket /run/haproxy/admin.sock mode 660 level admin", ""}
	for i, name := range names {
		p := ports[2+3*i:]
		n := &node{name: name, tcp: p[0], ws: p[1], admin: p[2]}
		password := write("password-"+name, "change-me-"+name+"\n")
		host := "10.0.0." + strconv.Itoa(5+i)
		if err == nil {
			text, err = adapt("node-"+name+".yaml", host+":3002", local(n.admin), host, "127.0.0.1",
				"10.0.0.2", "127.0.0.1", "nats://10.0.0.3:4222", "nats://"+bus,
				"/etc/mb-server/nats-password", password)
		}
		n.config = write("node-"+name+".yaml", text)
		balancer = append(balancer, host+":3001 port 3002",
			local(n.tcp)+" port "+strconv.Itoa(n.admin))
		s.nodes = append(s.nodes, n)
	}
	if err == nil {
		text, err = adapt("haproxy.cfg", balancer...)
	}
	text, _, _ = strings.Cut(text, "\nlisten mb-http\n") // which needs a certificate
	s.balancer = write("haproxy.cfg", text)
	return err
}

// run starts a program.
func (s *stage) run(name, path string, arguments ...string) (*process, error) {
	p, err := start(s.fail, name, path, arguments...)
	if err == nil {
		s.all = append(s.all, p)
	}
	return p, err
}

// listens waits until somebody does at an address.
func listens(ctx context.Context, what, address string) error {
	return await(ctx, what, func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
}

func (s *stage) startNATS(ctx context.Context) (err error) {
	s.nats, err = s.run("nats-server", filepath.Join(s.bin, "peers", "nats"), "-config", s.bus)
	if err != nil {
		return err
	}
	_, bus, _ := strings.Cut(textOf(s.bus), "listen: ")
	return listens(ctx, "nats-server listens", strings.Fields(bus)[0])
}

// textOf is a file of the demo's own.
func textOf(path string) string {
	b, _ := os.ReadFile(path) // it was written just now
	return string(b)
}

func (s *stage) startHAProxy(ctx context.Context) (*process, error) {
	path, err := programOf("haproxy", "haproxy")
	if err != nil {
		return nil, err
	}
	p, err := s.run("haproxy", path, "-db", "-f", s.balancer)
	if err != nil {
		return nil, err
	}
	return p, listens(ctx, "haproxy listens", strings.TrimPrefix(s.front, "tcp://"))
}

// start starts a node. Nothing waits for it: with minPeers the first is not ready alone.
func (n *node) start(s *stage) (err error) {
	n.process, err = s.run("mb-server "+n.name, filepath.Join(s.bin, "mb-server"),
		"--config", n.config, "--tcp-port", strconv.Itoa(n.tcp), "--ws-port", strconv.Itoa(n.ws),
		"--set", "shutdown.delay=0", "--set", "shutdown.spread=0", "--set", "shutdown.grace=500")
	n.note(func() { n.killed = false })
	return err
}

// kill ends a node as a fault of its machine does.
func (n *node) kill() {
	n.process.kill()
	n.note(func() { n.killed, n.ready, n.live = true, "", 0 })
}

func (n *node) note(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// seen is what is known of a node.
func (n *node) seen() (ready string, live int, island, killed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ready, n.live, n.island, n.killed
}

// whole says that all nodes are ready and know one another.
func (s *stage) whole() bool {
	for _, n := range s.nodes {
		if ready, live, _, _ := n.seen(); ready != "ready" || live != len(s.nodes)-1 {
			return false
		}
	}
	return true
}

// watch asks the nodes how they are, until ctx ends.
func (s *stage) watch(ctx context.Context) {
	asker := &http.Client{
		Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true},
	}
	for rest(ctx, 50*time.Millisecond) == nil {
		for _, n := range s.nodes {
			n.ask(asker, s)
		}
	}
}

// ask asks a node how it is.
func (n *node) ask(asker *http.Client, s *stage) {
	var page struct {
		Island bool
		Peers  []struct{ Name, ID, State string }
	}
	ready := ""
	if resp, err := asker.Get("http://" + local(n.admin) + "/readyz"); err == nil {
		var b [64]byte
		k, _ := resp.Body.Read(b[:]) // one word
		_ = resp.Body.Close()
		if ready = strings.TrimSpace(string(b[:k])); resp.StatusCode == http.StatusOK {
			ready = "ready"
		}
	}
	if resp, err := asker.Get("http://" + local(n.admin) + "/clusterz"); err == nil {
		_ = json.NewDecoder(resp.Body).Decode(&page) // it has gone
		_ = resp.Body.Close()
	}
	live := 0
	s.mu.Lock()
	for _, p := range page.Peers {
		if p.State == "live" {
			live++
		}
		s.named[p.ID] = p.Name
	}
	s.mu.Unlock()
	n.note(func() {
		if !n.killed {
			n.ready, n.live, n.island = ready, live, page.Island
		}
	})
}

// nameOf is the name of the node with that ID.
func (s *stage) nameOf(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.named[id]
}
