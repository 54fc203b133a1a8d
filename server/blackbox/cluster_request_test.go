package blackbox

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// perSides is perPair for requests: from asks at n, and to serves at m. That is the same node for
// each pair of transports, and another one for some.
func perSides(
	t *testing.T, settings []string, test func(t *testing.T, n, m *node, from, to string),
) {
	perPair(t, settings, func(t *testing.T, n *node, from, to string) { test(t, n, n, from, to) })
	for _, pair := range [][2]string{{overTCP, overWS}, {overWS, overTCP}} {
		t.Run("across from "+pair[0], func(t *testing.T) {
			bus := startNATS(t)
			n := startMember(t, bus, "a", settings...)
			m := startMember(t, bus, "b", settings...)
			n.awaitPeers(1)
			m.awaitPeers(1)
			test(t, n, m, pair[0], pair[1])
		})
	}
}

// answerLate answers a request of which nobody waits for the answer any more. Across nodes the word
// of that may come after the first.
func (c *client) answerLate(header, payload string, across bool) {
	c.t.Helper()
	c.send(header, payload)
	if across {
		eventually(c.t, "an answer is refused", func() bool {
			c.send(header, payload)
			c.settle()
			return len(c.backlog) > 0
		})
		for len(c.backlog) > 1 {
			c.expectFault(header, "INVALID_REQUEST_ID")
		}
	}
	c.expectFault(header, "INVALID_REQUEST_ID")
}

// executions are the requests that services were given, by payload.
type executions struct {
	mu    sync.Mutex
	count map[string]int
	twice []string
	now   atomic.Int32 // at this moment
	most  atomic.Int32 // at a time
}

// serve has a service answer all requests on a topic until it ends, and returns its ID. Each takes
// so long.
func (e *executions) serve(
	t *testing.T, n *node, transport, topic string, most int, takes time.Duration,
) string {
	t.Helper()
	c := n.dial(t, transport)
	c.ok("system.service.register",
		fmt.Sprintf(`{"name":"worker","description":"works","maxConcurrent":%d}`, most))
	c.subscribe("request", topic)
	go func() {
		for {
			f, err := c.peer.Recv(time.Now().Add(time.Hour))
			if err != nil {
				return
			}
			m, err := parseMessage(f)
			if err != nil || m.Action != "request" {
				continue
			}
			e.began(string(m.Payload))
			time.Sleep(takes)
			e.now.Add(-1)
			if c.peer.Send([]byte("response:"+topic+":1.0.0:"+m.ID+"\ndone")) != nil {
				return
			}
		}
	}()
	return c.id
}

func (e *executions) began(payload string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.count == nil {
		e.count = make(map[string]int)
	}
	if e.count[payload]++; e.count[payload] > 1 {
		e.twice = append(e.twice, payload)
	}
	if now := e.now.Add(1); now > e.most.Load() {
		e.most.Store(now)
	}
}

// asker asks on a topic, one request after the other.
type asker struct {
	done   chan struct{} // closed when it has ended
	fails  []message
	wrong  []string
	served atomic.Int64
}

// askOn asks until it is told to stop.
func askOn(t *testing.T, n *node, transport, topic string, stop *atomic.Bool) *asker {
	t.Helper()
	c := n.dial(t, transport)
	a := &asker{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		for !stop.Load() {
			id := uuid.NewString()
			if c.peer.Send([]byte("request:"+topic+":1.0.0:"+id+"::20000\n"+id)) != nil {
				a.wrong = append(a.wrong, "its connection has ended")
				return
			}
			f, err := c.peer.Recv(time.Now().Add(patience))
			if err != nil {
				a.wrong = append(a.wrong, err.Error())
				return
			}
			switch m, err := parseMessage(f); {
			case err != nil || m.ID != id:
				a.wrong = append(a.wrong, m.String())
			case string(m.Payload) == "done":
				a.served.Add(1)
			default:
				a.fails = append(a.fails, m)
			}
		}
	}()
	return a
}

// A node that is killed under load fails what its services have, and nothing else: nothing is
// answered or done twice, and the others go on.
func TestS12_ServiceNodeKilledUnderLoad(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, startNATS(t), "a", "b", "c")
	var did executions
	lost := map[string]bool{}
	for _, transport := range []string{overTCP, overWS} {
		lost[did.serve(t, nodes[1], transport, "work.on", 4, time.Millisecond)] = true
	}
	did.serve(t, nodes[2], overTCP, "work.on", 4, time.Millisecond)
	var stop atomic.Bool
	var askers []*asker
	for i := range 16 {
		askers = append(askers,
			askOn(t, nodes[i%2*2], []string{overTCP, overWS}[i/2%2], "work.on", &stop))
	}
	served := func() (n int64) {
		for _, a := range askers {
			n += a.served.Load()
		}
		return n
	}
	eventually(t, "requests are served", func() bool { return served() > 1000 })
	nodes[1].stopped = true // it does not exit well
	if err := nodes[1].cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	nodes[0].awaitPeers(1)
	nodes[2].awaitPeers(1)
	before := served()
	eventually(t, "requests are served on", func() bool { return served() > before+1000 })
	stop.Store(true)
	failed := 0
	for _, a := range askers {
		<-a.done
		for _, w := range a.wrong {
			t.Error(w)
		}
		if len(a.fails) > 1 { // that which it had asked when the node died
			t.Errorf("one has failed %d times", len(a.fails))
		}
		for _, m := range a.fails {
			failed++
			f := m.fault(t)
			target, _ := f.Details["targetServiceId"].(string)
			if f.Code != "SERVICE_UNAVAILABLE" || f.Details["reason"] != "node_lost" ||
				!lost[target] {
				t.Errorf("failed with %v", m)
			}
		}
	}
	if len(did.twice) > 0 {
		t.Errorf("done twice: %s", strings.Join(did.twice, ", "))
	}
	t.Logf("%d served, %d failed", served(), failed)
}

// A service that takes one request at a time has one at a time, whoever asks at whatever node, and
// each of them has its turn.
func TestS12_OneAtATime(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, startNATS(t), "a", "b", "c")
	var did executions
	did.serve(t, nodes[2], overTCP, "work.one", 1, 0)
	var stop atomic.Bool
	var askers []*asker
	for i := range 16 {
		transport := []string{overTCP, overWS}[i%2]
		askers = append(askers, askOn(t, nodes[i%3], transport, "work.one", &stop))
	}
	eventually(t, "all are served again and again", func() bool {
		for _, a := range askers {
			if a.served.Load() < 50 {
				return false
			}
		}
		return true
	})
	stop.Store(true)
	least, most := int64(1<<60), int64(0)
	for _, a := range askers {
		<-a.done
		for _, w := range a.wrong {
			t.Error(w)
		}
		for _, m := range a.fails {
			t.Errorf("failed with %v", m)
		}
		least, most = min(least, a.served.Load()), max(most, a.served.Load())
	}
	if did.most.Load() != 1 || len(did.twice) > 0 {
		t.Errorf("%d at a time, done twice: %s", did.most.Load(), strings.Join(did.twice, ", "))
	}
	if 4*least < most {
		t.Errorf("one was served %d times, another %d times", least, most)
	}
	t.Logf("between %d and %d times", least, most)
}
