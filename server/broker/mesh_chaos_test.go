package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mbserver/codec"
	"mbserver/server/config"
)

// chaos is a mesh in which everything comes and goes, and what is known of each request.
type chaos struct {
	*mesh
	ids        testIDs
	requesters []*chaosClient
	services   []*chaosClient
	owed       map[string]*chaosClient // by request ID
	did        map[string]bool         // requests that a service was given
	failures   map[string]int          // by reason
}

// chaosClient is a client of a node.
type chaosClient struct {
	*testClient
	at       *meshNode
	capacity int32
	held     []testMessage // requests that it has yet to answer
}

// newChaos begins one that loses a part of what nodes say.
func newChaos(t *testing.T, seed uint64, loses bool) *chaos {
	m := newMesh(t, seed, 3, 2, func(cfg *config.Config) { cfg.Max.QueuedPerTopic = 20 })
	c := &chaos{
		mesh: m, ids: testIDs{m.random}, owed: make(map[string]*chaosClient),
		did: make(map[string]bool), failures: make(map[string]int),
	}
	if loses {
		m.lose = func(_, _ int, kind string) bool {
			return strings.Contains("ask answer fail busy cancel load wait", kind) &&
				m.random.IntN(20) == 0
		}
	}
	return c
}

// someNode is one that lives.
func (c *chaos) someNode() *meshNode {
	for {
		if n := c.nodes[c.random.IntN(len(c.nodes))]; !n.gone {
			return n
		}
	}
}

func (c *chaos) connect() *chaosClient {
	n := c.someNode()
	k := n.testNode.connect(c.random.IntN(len(n.loops)), TransportTCP)
	return &chaosClient{testClient: k, at: n}
}

// step does one thing.
func (c *chaos) step() {
	switch c.random.IntN(24) {
	case 0:
		c.requesters = append(c.requesters, c.connect())
	case 1:
		s := c.connect()
		s.capacity = int32(c.random.IntN(4))
		if s.capacity > 0 {
			s.send("request:system.service.register:1.0.0\n" + fmt.Sprintf(
				`{"name":"s","description":"s","maxConcurrent":%d}`, s.capacity))
		}
		s.subscribe(c)
		c.services = append(c.services, s)
	case 2:
		if len(c.services) > 3 {
			c.leave(&c.services)
		}
	case 3:
		if len(c.requesters) > 3 {
			c.leave(&c.requesters)
		}
	case 4:
		if len(c.services) > 0 {
			s := c.services[c.random.IntN(len(c.services))]
			if c.random.IntN(2) == 0 {
				s.subscribe(c)
			} else {
				s.send("request:system.topic.unsubscribe:1.0.0\n" + `{"topic":"r.x"}`)
			}
		}
	case 5:
		for _, n := range c.nodes {
			n.advance(int64(c.random.IntN(60)))
		}
	case 6, 7, 8, 9, 10, 11, 12, 13:
		if len(c.requesters) > 0 {
			k := c.requesters[c.random.IntN(len(c.requesters))]
			id := c.ids.next()
			c.owed[id] = k
			k.send(fmt.Sprintf("request:r.x:1.0.0:%s::%d\n%s", id, 50+c.random.IntN(5000), id))
		}
	case 14, 15, 16, 17, 18:
		if len(c.services) > 0 {
			c.services[c.random.IntN(len(c.services))].work(c)
		}
	default:
		for range 1 + c.random.IntN(4) {
			c.carry()
		}
	}
	for _, n := range c.nodes {
		if !n.gone && c.random.IntN(2) == 0 {
			n.testNode.settle()
		}
	}
}

func (k *chaosClient) subscribe(c *chaos) {
	k.send("request:system.topic.subscribe:1.0.0\n" + fmt.Sprintf(
		`{"action":"request","topic":%q,"priority":%d}`,
		[]string{"r.x", "r.+"}[c.random.IntN(2)], c.random.IntN(2)))
}

// leave ends one of those clients.
func (c *chaos) leave(of *[]*chaosClient) {
	i := c.random.IntN(len(*of))
	k := (*of)[i]
	c.see()
	k.hangUp(true)
	k.sock.closed = true
	*of = slices.Delete(*of, i, i+1)
	for id, who := range c.owed {
		if who == k {
			delete(c.owed, id)
		}
	}
}

// work answers one request that a service has.
func (k *chaosClient) work(c *chaos) {
	k.take(c)
	if len(k.held) == 0 {
		return
	}
	i := c.random.IntN(len(k.held))
	m := k.held[i]
	k.held = slices.Delete(k.held, i, i+1)
	k.send("response:r.x:1.0.0:" + string(m.RequestID) + "\n" + string(m.payload))
}

// take takes what a service was given.
func (k *chaosClient) take(c *chaos) {
	for _, m := range k.messages() {
		if m.Action == codec.Request {
			if c.did[string(m.payload)] {
				c.t.Errorf("done twice: %s", m.payload)
			}
			c.did[string(m.payload)] = true
			k.held = append(k.held, m)
		}
	}
	if k.capacity > 0 && k.testClient.service.outstanding.Load() > k.capacity {
		c.t.Errorf("a service has %d, and may have %d", k.testClient.service.outstanding.Load(),
			k.capacity)
	}
}

// see takes the answers that have come: one for each request.
func (c *chaos) see() {
	for _, s := range c.services {
		s.take(c)
	}
	for _, k := range c.requesters {
		for _, m := range k.messages() {
			if m.Action != codec.Response || strings.HasPrefix(string(m.Topic), "system") {
				continue
			}
			id := string(m.RequestID)
			if c.owed[id] != k {
				c.t.Errorf("answered twice, or not asked: %s %s", m.header, m.payload)
			}
			delete(c.owed, id)
			if string(m.payload) == id {
				c.failures[""]++
				continue
			}
			text := string(m.payload)
			for _, why := range []string{"TIMEOUT", "NO_ROUTE_FOUND", "node_lost", "disconnected",
				"queue_full", "busy"} {
				if strings.Contains(text, why) {
					c.failures[why]++
					text = ""
				}
			}
			if text != "" {
				c.t.Errorf("answered %s", text)
			}
		}
	}
}

// dies ends a node: its clients are gone, and what it knows.
func (c *chaos) dies(n *meshNode) {
	c.see()
	c.kill(n)
	for _, of := range []*[]*chaosClient{&c.requesters, &c.services} {
		*of = slices.DeleteFunc(*of, func(k *chaosClient) bool { return k.at == n })
	}
	for id, k := range c.owed {
		if k.at == n {
			delete(c.owed, id)
		}
	}
}

// Whatever is lost on the way, comes, goes or dies: each request has one answer, none is given to
// two services, none has more than it may, and in the end nothing is left.
func TestChaosAcross(t *testing.T) {
	all := make(map[string]int)
	for seed := range uint64(60) {
		c := newChaos(t, seed, seed%2 == 1)
		for range 600 {
			c.step()
		}
		if seed%3 == 0 {
			n := c.nodes[c.random.IntN(3)]
			c.dies(n)
			for range 50 {
				c.step()
			}
			c.notice(n)
			for range 200 {
				c.step()
			}
		}
		c.lose = nil
		c.mesh.settle()
		for range 30 { // services answer what they have, requests run out of time
			for _, s := range c.services {
				s.take(c)
				for len(s.held) > 0 {
					s.work(c)
				}
			}
			c.mesh.settle()
			for _, n := range c.nodes {
				n.advance(250)
			}
			c.mesh.settle()
		}
		c.see()
		if len(c.owed) > 0 {
			t.Errorf("seed %d: %d requests are not answered", seed, len(c.owed))
		}
		c.pass(60)
		c.empty()
		for why, n := range c.failures {
			all[why] += n
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Log(all)
	for _, why := range []string{"", "TIMEOUT", "NO_ROUTE_FOUND", "node_lost", "disconnected"} {
		if all[why] == 0 {
			t.Errorf("nothing was answered %q", why)
		}
	}
}
