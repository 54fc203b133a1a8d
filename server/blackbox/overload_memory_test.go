package blackbox

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
)

// peakResident is the most resident memory the node ever had, in bytes (proc_pid_status(5), VmHWM).
func (n *node) peakResident() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.pid))
	if err != nil {
		n.t.Errorf("reading the node's memory: %v", err)
		return 0
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		n.t.Error("the node's memory has no peak")
		return 0
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		n.t.Error(err)
	}
	return kib << 10
}

// politely has the service answer a request.
func politely(caller, service *client) {
	id := uuid.NewString()
	caller.send("request:polite.ask:1.0.0:"+id, "please")
	masked := service.expect("request:polite.ask:1.0.0:*").ID
	service.send("response:polite.ask:1.0.0:"+masked, "here")
	caller.expectPayload("response:polite.ask:1.0.0:"+id, "here")
}

// 200 greedy publishers fill the rings of 200 subscribers that do not read, four times what the
// node may use. The node stays under its limit and cuts laggards, and a well-behaved pair goes on
// as if nothing were.
func TestOverload_Memory(t *testing.T) { // alone: it takes all the CPU there is
	const pairs, limit = 200, 256 << 20
	memory := fmt.Sprintf("memory.limit=%d", limit)
	n := startNode(t, memory, "logging.level=error")
	caller, service := n.dial(t, overWS), n.dial(t, overTCP)
	service.subscribe("request", "polite.ask")
	service.settle()          // and the subscription is charged
	politely(caller, service) // and what is remembered of a service's answers
	alone := n.counter(t, "mb_memory_charged_bytes")

	crowd := greedyCrowd{n: n, stop: make(chan struct{})}
	crowd.start(pairs)

	answered := make(chan error, 1)
	go func() {
		for {
			f, err := service.peer.Recv(time.Now().Add(patience))
			if err != nil {
				answered <- err
				return
			}
			m, err := parseMessage(f)
			if err != nil || m.Action != "request" {
				answered <- fmt.Errorf("the service got %v: %w", m, err)
				return
			}
			if string(m.Payload) == "end" {
				answered <- nil
				return
			}
			here := "response:polite.ask:1.0.0:" + m.ID + "\nhere"
			if err := service.peer.Send([]byte(here)); err != nil {
				answered <- err
				return
			}
		}
	}()
	trips, slowest := 0, time.Duration(0)
	start := time.Now()
	enough := func() bool {
		passed := time.Since(start)
		return passed >= 3*time.Minute ||
			passed >= 4*time.Second && n.counter(t, "mb_connections_shed_total") >= 20
	}
	for ; !enough(); trips++ {
		id := uuid.NewString()
		began := time.Now()
		caller.send("request:polite.ask:1.0.0:"+id+"::15000", "please")
		caller.expectPayload("response:polite.ask:1.0.0:"+id, "here")
		slowest = max(slowest, time.Since(began))
	}
	caller.send("request:polite.ask:1.0.0:::60000", "end")
	if err := <-answered; err != nil {
		t.Error(err)
	}
	caller.none()
	shed, peak := n.counter(t, "mb_connections_shed_total"), n.peakResident()
	// A publisher whose own kernel has no room left for answers also drops the acknowledgements
	// they carry: its send may wait for as long as its deadline.
	crowd.end()
	t.Logf("peak of resident memory %d MiB of %d (%.1f %%); %d MiB published, "+
		"%d connections cut, %d newcomers refused, %d round trips meanwhile, the slowest took %v",
		peak>>20, limit>>20, 100*float64(peak)/limit, crowd.sent.Load()>>20,
		shed, crowd.refused.Load(), trips, slowest.Round(time.Millisecond))
	if peak > limit && !raceEnabled { // the race detector's shadow memory multiplies it
		t.Errorf("resident memory came to %d MiB of %d", peak>>20, limit>>20)
	}

	if shed == 0 {
		t.Error("nobody was cut")
	}
	if fault := crowd.fault.Load(); fault != nil {
		t.Error(*fault)
	}
	eventually(t, "all of it is given back", func() bool {
		return n.counter(t, "mb_connections") == 2 &&
			n.counter(t, "mb_memory_charged_bytes") == alone
	})
}

// greedyCrowd is pairs of a publisher that never reads and a subscriber that never reads.
// Who is cut comes back.
type greedyCrowd struct {
	n    *node // Immutable.
	stop chan struct{}
	wait sync.WaitGroup
	once sync.Once

	// Atomic.
	sent    atomic.Int64 // bytes of payloads
	refused atomic.Int64 // connections that were answered reason "memory"
	fault   atomic.Pointer[string]
}

func (g *greedyCrowd) start(pairs int) {
	g.n.t.Cleanup(g.end)
	for i := range pairs {
		g.wait.Add(1)
		go func() {
			defer g.wait.Done()
			for !g.stopped() {
				if err := g.pair(i); err != nil {
					if !strings.Contains(err.Error(), "503") &&
						!strings.Contains(err.Error(), `"reason":"memory"`) {
						fault := err.Error()
						g.fault.Store(&fault)
					}
					g.refused.Add(1)
					time.Sleep(50 * time.Millisecond) // before it tries again
				}
			}
		}()
	}
}

func (g *greedyCrowd) end() {
	g.once.Do(func() { close(g.stop) })
	g.wait.Wait()
}

func (g *greedyCrowd) stopped() bool {
	select {
	case <-g.stop:
		return true
	default:
		return false
	}
}

// pair connects pair i and publishes until one of them is cut;
// an error says that a newcomer was refused.
func (g *greedyCrowd) pair(i int) error {
	topic := fmt.Sprintf("greedy.t%d", i)
	subscriber, err := g.n.laggard(transports[i%2], topic)
	if err != nil {
		return err
	}
	defer func() { _ = abort(subscriber) }()
	publisher, err := g.n.laggard(transports[i/2%2], "greedy.other")
	if err != nil {
		return err
	}
	defer func() { _ = abort(publisher) }()
	size := []int{200, 1000, 6000, 16000}[i%4]
	message := []byte("publish:" + topic + ":1.0.0\n" + strings.Repeat("m", size))
	for !g.stopped() {
		if publisher.Send(message) != nil {
			return nil // it does not read that nobody is subscribed any more, and was cut
		}
		g.sent.Add(int64(len(message)))
	}
	return nil
}

// laggard connects a subscriber that reads nothing after it has subscribed.
func (n *node) laggard(transport, topic string) (peer, error) {
	p, err := n.connect(transport)
	if err != nil {
		return nil, err
	}
	subscription := "request:system.topic.subscribe:1.0.0:" + idA + "\n" +
		fmt.Sprintf(`{"action":"publish","topic":%q}`, topic)
	if err := p.Send([]byte(subscription)); err != nil {
		return nil, err
	}
	for range 2 { // the greeting and the answer
		f, err := p.Recv(time.Now().Add(patience))
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(f.data), `"error"`) {
			return nil, errors.New(string(f.data))
		}
	}
	return p, nil
}

// Requests that wait hold their share of the memory and no more. Beyond it they are refused, told
// why, and nobody else suffers: newcomers enter, and who is there is served.
func TestOverload_MemoryOfWaitingRequests(t *testing.T) {
	settings := []string{"memory.limit=16777216", "max.queued.perTopic=10000"}
	perPlain(t, settings, func(t *testing.T, n *node, transport string) {
		hoarder, other := n.dial(t, transport), n.dial(t, transport)
		target, held := busy(t, n, transport, "hoard.test", hoarder)
		large := strings.Repeat("h", 16000)
		const count = 700 // of 16 KB each, 2 MiB may wait
		for range count {
			hoarder.send("request:hoard.test:1.0.0:"+uuid.NewString()+"::600000", large)
		}
		hoarder.settle()
		refused := len(hoarder.backlog)
		for _, m := range hoarder.backlog {
			if e := m.fault(t); e.Code != "SERVICE_UNAVAILABLE" || e.Details["reason"] != "memory" {
				t.Fatalf("got %v", m)
			}
		}
		waiting := n.counter(t, "mb_requests_queued")
		if refused == 0 || waiting+refused != count || waiting < 100 || waiting > 140 {
			t.Errorf("%d wait, %d were refused, of %d", waiting, refused, count)
		}
		n.dial(t, transport).none()
		other.subscribe("publish", "still.here")
		other.send("publish:still.here:1.0.0:"+idA, "yes")
		other.expectPayload("publish:still.here:1.0.0:*", "yes")
		other.expect("response:still.here:1.0.0:" + idA)
		target.send("response:hoard.test:1.0.0:"+held.ID, "done")
		target.expectPayload("request:hoard.test:1.0.0:*", large)
		_ = hoarder.peer.Close()
		eventually(t, "its requests are gone", func() bool {
			return n.counter(t, "mb_requests_queued") == 0
		})
		eventually(t, "their memory is given back", func() bool {
			return n.counter(t, "mb_memory_charged_bytes") < 1<<16
		})
	})
}

// Beyond 60 % of its memory, what connections cost by themselves included, the node lets nobody in,
// says why, and goes on for who is there. When it is within again, everything is as before.
func TestOverload_MemoryRefusesNewcomers(t *testing.T) {
	t.Parallel()
	n := startNode(t, "memory.limit=16777216")
	var others []*client
	for _, transport := range transports {
		others = append(others, n.dial(t, transport))
	}
	newcomers, refusal := n.fill(t)
	leave := func() {
		for _, p := range newcomers {
			_ = p.Close()
		}
	}
	defer leave()
	raw := newcomers[len(newcomers)-1]
	m, err := parseMessage(refusal)
	if err != nil {
		t.Fatal(err)
	}
	m.mustHead(t, "response:error:1.0.0")
	if e := m.fault(t); e.Code != "SERVICE_UNAVAILABLE" || e.Details["reason"] != "memory" {
		t.Errorf("got %v", m)
	}
	if _, err := raw.Recv(time.Now().Add(patience)); err == nil || isTimeout(err) {
		t.Errorf("a refused connection stays: %v", err)
	}
	_, resp, err := dialWS("ws://"+n.ws+"/", nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("over WebSocket: %v, %v", resp, err)
	} else {
		body, _ := io.ReadAll(resp.Body)
		if !strings.Contains(string(body), `"reason":"memory"`) {
			t.Errorf("over WebSocket: %s", body)
		}
	}
	for i, other := range others {
		topic := "still.here." + transports[i]
		other.subscribe("publish", topic)
		other.send("publish:"+topic+":1.0.0:"+idA, "yes")
		other.expectPayload("publish:"+topic+":1.0.0:*", "yes")
		other.expect("response:" + topic + ":1.0.0:" + idA)
	}
	leave()
	eventually(t, "there is room", func() bool {
		return n.counter(t, "mb_memory_charged_bytes") < 1<<20
	})
	for _, transport := range transports {
		n.dial(t, transport).none()
	}
}

// fill opens connections until what they cost is too much for the node, and returns them, the one
// that is refused last, with its refusal.
func (n *node) fill(t *testing.T) (newcomers []peer, refusal frame) {
	t.Helper()
	for {
		p, err := n.connect(overTCP)
		if err != nil {
			t.Fatal(err)
		}
		newcomers = append(newcomers, p)
		f, err := p.Recv(time.Now().Add(patience))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(f.data), "publish:system.initialize") {
			if len(newcomers) < 1000 {
				t.Errorf("%d newcomers entered", len(newcomers))
			}
			return newcomers, f
		}
		if len(newcomers) > 16<<10 {
			t.Fatal("nobody is refused")
		}
	}
}
