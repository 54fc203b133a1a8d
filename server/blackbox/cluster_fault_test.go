package blackbox

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// busRate is what two cores bear that everything else runs on, too.
var busRate = flag.Int("bus.rate", 4000, "publishes a second of the tests of a cluster's faults")

// flood are publishers of numbered messages at a node, each on a topic of its own and at an
// even rate.
type flood struct {
	stop chan struct{}
	all  sync.WaitGroup
	sent atomic.Int64
}

func floodFrom(t *testing.T, n *node, publishers int) *flood {
	t.Helper()
	f := &flood{stop: make(chan struct{})}
	rest := strings.Repeat(".", 90)
	for i := range publishers {
		c, rate := n.dial(t, overTCP), *busRate/publishers
		f.all.Go(func() {
			count := 0
			for began := time.Now(); ; {
				select {
				case <-f.stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				for due := int(time.Since(began).Seconds() * float64(rate)); count < due; count++ {
					message := fmt.Appendf(nil, "publish:x.t%d:1.0.0\n%d %s", i, count, rest)
					if c.peer.Send(message) != nil {
						return
					}
					f.sent.Add(1)
				}
			}
		})
	}
	return f
}

func (f *flood) end() int {
	close(f.stop)
	f.all.Wait()
	return int(f.sent.Load())
}

// tally reads what a flood brings, in a goroutine of its own, and counts.
type tally struct {
	got, lost atomic.Int64
	bad       atomic.Pointer[string] // what was wrong first
}

// tallyOf subscribes to all of a flood.
func tallyOf(t *testing.T, n *node, transport string) *tally {
	t.Helper()
	c, a := n.dial(t, transport), new(tally)
	c.subscribe("publish", "x.+")
	go func() {
		next := make(map[string]int)
		for {
			f, err := c.peer.Recv(time.Now().Add(time.Minute))
			if err != nil {
				return // the test has ended
			}
			if !a.take(f.data, next) {
				bad := fmt.Sprintf("%.200q after %v", f.data, next)
				a.bad.CompareAndSwap(nil, &bad)
			}
		}
	}()
	return a
}

// take counts a message. next are the numbers that may come, by topic.
func (a *tally) take(data []byte, next map[string]int) (good bool) {
	header, payload, _ := bytes.Cut(data, []byte("\n"))
	parts := bytes.Split(header, []byte(":"))
	if string(parts[1]) == "system.dropped" {
		var told struct {
			Count  int64
			AtMost bool
			Reason string
		}
		err := json.Unmarshal(payload, &told)
		a.lost.Add(told.Count)
		return err == nil && told.AtMost && told.Reason == "cluster"
	}
	number, _, _ := bytes.Cut(payload, []byte(" "))
	n, err := strconv.Atoi(string(number))
	if err != nil || n < next[string(parts[1])] {
		return false
	}
	next[string(parts[1])] = n + 1
	a.got.Add(1)
	return true
}

// accounts waits until as many as were published came or are told to be lost, not more, and says
// how many of both.
func (a *tally) accounts(t *testing.T, published int) (got, lost int) {
	t.Helper()
	sum := func() int { return int(a.got.Load() + a.lost.Load()) }
	eventually(t, fmt.Sprintf("%d are accounted for", published), func() bool {
		return sum() >= published || a.bad.Load() != nil
	})
	if bad := a.bad.Load(); bad != nil {
		t.Fatal(*bad)
	}
	if sum() != published {
		t.Errorf("%d came and %d are lost, of %d", a.got.Load(), a.lost.Load(), published)
	}
	return int(a.got.Load()), int(a.lost.Load())
}

// crosses waits until so many more have come.
func (a *tally) crosses(t *testing.T, more int64) {
	t.Helper()
	before := a.got.Load()
	eventually(t, "something crosses", func() bool {
		return a.got.Load() >= before+more || a.bad.Load() != nil
	})
}

// startNATSCluster starts servers that are one.
func startNATSCluster(t testing.TB, count int) (servers []*natsServer) {
	t.Helper()
	ports := freePorts(t, 2*count)
	var routes []string
	for _, port := range ports[count:] {
		routes = append(routes, fmt.Sprintf("nats-route://127.0.0.1:%d", port))
	}
	for i := range count {
		s := &natsServer{t: t, port: ports[i]}
		s.file = written(t, "nats.conf", fmt.Sprintf("server_name: s%d\nlisten: %q\n"+
			"cluster {\n name: test\n listen: \"127.0.0.1:%d\"\n routes: [%s]\n}\n",
			i, s.address(), ports[count+i], strings.Join(routes, ", ")))
		s.start()
		t.Cleanup(s.kill)
		servers = append(servers, s)
	}
	return servers
}

// startAt starts nodes that know all of those servers.
func startAt(t testing.TB, servers []*natsServer, more []string, names ...string) []*node {
	t.Helper()
	var urls []string
	for _, s := range servers {
		urls = append(urls, "nats://"+s.address())
	}
	more = append([]string{"cluster.urls=" + strings.Join(urls, ",")}, more...)
	var nodes []*node
	for _, name := range names {
		nodes = append(nodes, startMember(t, servers[0], name, more...))
	}
	for _, n := range nodes {
		n.awaitPeers(len(names) - 1)
	}
	return nodes
}

// One of three nats-servers after the other is killed and comes back, under load: with repair
// nothing is lost, without it what is lost is told exactly; nothing comes twice, and in order.
func TestS12_OneOfThreeServersKilled(t *testing.T) {
	t.Parallel()
	for name, keeps := range map[string]string{"repair": "8MiB", "none": "0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := startNATSCluster(t, 3)
			nodes := startAt(t, servers, []string{"cluster.repair.bytes=" + keeps}, "a", "b", "c")
			readers := []*tally{tallyOf(t, nodes[1], overTCP), tallyOf(t, nodes[2], overWS)}
			f := floodFrom(t, nodes[0], 2)
			for _, s := range servers {
				readers[0].crosses(t, int64(*busRate/10))
				s.kill()
				for _, r := range readers {
					r.crosses(t, int64(*busRate/5))
				}
				s.start()
			}
			published := f.end()
			for i, r := range readers {
				got, lost := r.accounts(t, published)
				t.Logf("%s: %d published, %d came, %d lost: %+v", "bc"[i:i+1], published, got,
					lost, nodes[i+1].cluster().Peers[0])
				if lost != 0 && keeps != "0" {
					t.Errorf("%d are lost", lost)
				}
			}
		})
	}
}

// The only nats-server is killed and started again, under load: what is not dropped because the
// node knew that it is alone comes, and all else is told.
func TestS12_ServerRestarted(t *testing.T) {
	t.Parallel()
	servers := []*natsServer{startNATS(t)}
	nodes := startAt(t, servers, nil, "a", "b", "c")
	readers := []*tally{tallyOf(t, nodes[1], overTCP), tallyOf(t, nodes[2], overWS)}
	f := floodFrom(t, nodes[0], 2)
	for range 2 {
		readers[0].crosses(t, int64(*busRate/5))
		servers[0].kill()
		servers[0].start()
		began := time.Now()
		for _, r := range readers {
			r.crosses(t, int64(*busRate/5))
		}
		t.Logf("%v after it was back a fifth of a second's publishes had come", time.Since(began))
	}
	published := f.end()
	for i, r := range readers {
		got, lost := r.accounts(t, published)
		t.Logf("%d published, %d came, %d lost, %+v", published, got, lost,
			nodes[0].cluster().Peers[i])
	}
}

// A nats-server that stands still takes nothing and brings nothing: what waits for it is bounded,
// nobody at the publisher's node waits, and all is told.
func TestS12_ServerStandsStill(t *testing.T) {
	t.Parallel()
	servers := []*natsServer{startNATS(t)}
	nodes := startAt(t, servers, nil, "a", "b")
	near, far := tallyOf(t, nodes[0], overTCP), tallyOf(t, nodes[1], overTCP)
	f := floodFrom(t, nodes[0], 2)
	far.crosses(t, int64(*busRate/10))
	signal := func(s syscall.Signal) {
		if err := servers[0].cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	eventually(t, "both are islands", func() bool {
		return nodes[0].cluster().Island && nodes[1].cluster().Island
	})
	near.crosses(t, int64(*busRate/5))
	signal(syscall.SIGCONT)
	far.crosses(t, int64(*busRate/10))
	published := f.end()
	if _, lost := near.accounts(t, published); lost != 0 {
		t.Errorf("at the publisher's node %d are lost", lost)
	}
	got, lost := far.accounts(t, published)
	t.Logf("%d published, %d came, %d lost, %+v", published, got, lost, nodes[0].cluster().Peers)
}

// A peer to which nothing gets through is dropped for: what it misses is told to it when it reads
// again, the others miss nothing and do not wait, and what its sender holds for it is bounded.
func TestS12_PeerThatReadsNothing(t *testing.T) {
	t.Parallel()
	bus := &natsServer{t: t, port: freePorts(t, 1)[0]}
	bus.file = written(t, "nats.conf",
		fmt.Sprintf("listen: %q\nmax_payload: 262144\nmax_pending: 262144\n", bus.address()))
	bus.start()
	t.Cleanup(bus.kill)
	w := wireTo(t, bus.address())
	a, c := startMember(t, bus, "a"), startMember(t, bus, "c")
	b := startMember(t, bus, "b", "cluster.urls=nats://"+w.listener.Addr().String())
	a.awaitPeers(2)
	c.awaitPeers(2)
	deaf, hears := tallyOf(t, b, overTCP), tallyOf(t, c, overTCP)
	f := floodFrom(t, a, 2)
	deaf.crosses(t, int64(*busRate/10))
	hears.crosses(t, int64(*busRate/10))
	w.stall(true)
	hears.crosses(t, int64(*busRate))
	waits := a.cluster().Waiting
	if waits > 1<<20 {
		t.Errorf("%d bytes wait at the publisher's node", waits)
	}
	w.stall(false)
	hears.crosses(t, int64(*busRate/10))
	a.awaitPeers(2)
	b.awaitPeers(2)
	deaf.crosses(t, int64(*busRate/10))
	published := f.end()
	if _, lost := hears.accounts(t, published); lost != 0 {
		t.Errorf("who reads misses %d", lost)
	}
	got, lost := deaf.accounts(t, a.cluster().publishesFor("b"))
	t.Logf("%d published, %d came, %d lost, %+v", published, got, lost, b.cluster().Peers)
}
