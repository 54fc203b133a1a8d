package bench

import (
	"fmt"
	"strings"
)

// kind is how a scenario is run.
type kind uint8

const (
	kindFan kind = iota + 1
	kindLone
	kindPairs
	kindFanIn
	kindRequest
	kindIdle
	kindStorm
	kindSerial
	kindHandshake
	kindStart
	kindWild
	kindSlow
	kindTraffic
	kindLatency
)

// Scenario is one situation that is measured.
type Scenario struct {
	Name  string
	About string

	kind        kind
	subscribers int  // or pairs, publishers, services
	clients     int  // of requests, or all connections
	flight      int  // requests of one client
	batch       int  // messages a publisher writes at once; 0: as suits the number of subscribers
	oneSize     bool // the payload plays no part: only the first one is measured
	mbOnly      bool // what no other target has
	across      bool // senders are at one node, receivers at another
}

// Scenarios returns all of them in the order they are run in.
func Scenarios() []Scenario { return append(nodeScenarios(), clusterScenarios()...) }

// nodeScenarios are those of one node: they need nothing beside it, and are what is measured when
// nothing is named.
func nodeScenarios() []Scenario {
	var all []Scenario
	for _, n := range []int{1, 10, 100, 1000, 5000} {
		about := fmt.Sprintf("1 publisher to %d subscribers, saturated", n)
		if n == 1 {
			about = "1 publisher to 1 subscriber, saturated"
		}
		name := fmt.Sprintf("fan-out/%d", n)
		all = append(all, Scenario{Name: name, kind: kindFan, subscribers: n, About: about})
	}
	for _, n := range []int{100, 5000} {
		all = append(all, Scenario{
			Name: fmt.Sprintf("growth/%d", n), kind: kindFan, subscribers: n, batch: 20,
			About: fmt.Sprintf("as fan-out/%d, in batches of 20 messages: "+
				"what the number of subscribers alone costs", n),
		})
	}
	return append(all, []Scenario{
		{Name: "lone/1", kind: kindLone, subscribers: 1,
			About: "1 publisher to 1 subscriber, one message at a time"},
		{Name: "lone/100", kind: kindLone, subscribers: 100,
			About: "1 publisher to 100 subscribers, one message at a time"},
		{Name: "pairs/50", kind: kindPairs, subscribers: 50,
			About: "50 publishers, each to a subscriber of its own"},
		{Name: "fan-in/50", kind: kindFanIn, subscribers: 50,
			About: "50 publishers to 1 subscriber"},
		{Name: "request/1x1", kind: kindRequest, subscribers: 1, clients: 1, flight: 1,
			About: "1 client, 1 request in flight, 1 service"},
		{Name: "request/64x1", kind: kindRequest, subscribers: 1, clients: 64, flight: 1,
			About: "64 clients, 1 request each in flight, 1 service"},
		{Name: "request/1x256", kind: kindRequest, subscribers: 1, clients: 1, flight: 256,
			About: "1 client, 256 requests in flight, 1 service"},
		{Name: "services/16", kind: kindRequest, subscribers: 16, clients: 16, flight: 16,
			About: "16 clients, 16 requests each in flight, a service for each"},
		{Name: "latency/100", kind: kindLatency, subscribers: 100,
			About: "20,000 deliveries a second to 100 subscribers, open loop"},
		{Name: "wildcards/100", kind: kindWild, subscribers: 100, mbOnly: true,
			About: "100 subscribers with 200 patterns each, 1000 topics, 2 deliveries a message"},
		{Name: "traffic/50", kind: kindTraffic, subscribers: 50, oneSize: true, mbOnly: true,
			About: "real messages with wildcard subscribers: flights of 2001"},
		{Name: "slow/100", kind: kindSlow, subscribers: 100,
			About: "1,000,000 deliveries a second to 100 subscribers, one of which reads nothing"},
		{Name: "idle/5000", kind: kindIdle, clients: 5000, oneSize: true,
			About: "5000 subscribed connections that do nothing"},
		{Name: "storm/5000", kind: kindStorm, clients: 5000, oneSize: true,
			About: "5000 connections as fast as they are welcomed"},
		{Name: "serial/2000", kind: kindSerial, clients: 2000, oneSize: true,
			About: "2000 connections, one after the other: connect, welcome, subscribe, answer"},
		{Name: "handshake/2000", kind: kindHandshake, clients: 2000, oneSize: true,
			About: "2000 connections over TLS, 8 at a time: whole handshake, welcome, end"},
		{Name: "start", kind: kindStart, oneSize: true,
			About: "from starting the process to the first welcome"},
	}...)
}

// clusterScenarios are those of several nodes.
func clusterScenarios() []Scenario {
	all := []Scenario{
		{Name: "cluster/1", kind: kindFan, subscribers: 1,
			About: "1 publisher to 1 subscriber at another node, saturated"},
		{Name: "cluster/100", kind: kindFan, subscribers: 100,
			About: "1 publisher to 100 subscribers at another node, saturated"},
		{Name: "cluster/1000", kind: kindFan, subscribers: 1000,
			About: "1 publisher to 1000 subscribers at another node, saturated"},
		{Name: "cluster/latency", kind: kindLatency, subscribers: 1,
			About: "20,000 messages a second to 1 subscriber at another node, open loop"},
		{Name: "cluster/1x256", kind: kindRequest, subscribers: 1, clients: 1, flight: 256,
			About: "1 client, 256 requests in flight, 1 service at another node"},
		{Name: "cluster/64x1", kind: kindRequest, subscribers: 1, clients: 64, flight: 1,
			About: "64 clients, 1 request each in flight, 1 service at another node"},
	}
	for i := range all {
		all[i].across = true
	}
	return all
}

// selected returns the scenarios whose names are in names or begin with one of them; all of one
// node when names is empty.
func selected(names []string) ([]Scenario, error) {
	if len(names) == 0 {
		return nodeScenarios(), nil
	}
	var out []Scenario
	used := make([]bool, len(names))
	for _, s := range Scenarios() {
		hit := false
		for i, n := range names {
			if s.Name == n || strings.HasPrefix(s.Name, n+"/") {
				hit, used[i] = true, true
			}
		}
		if hit {
			out = append(out, s)
		}
	}
	for i, n := range names {
		if !used[i] {
			return nil, fmt.Errorf("unknown scenario %q", n)
		}
	}
	return out, nil
}
