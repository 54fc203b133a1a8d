package blackbox

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// scrape reads /metrics: the numbers by name and labels, as they stand there.
func (n *node) scrape(t testing.TB) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	eventually(t, "/metrics answers", func() bool { // a busy machine may cut a probe short
		status, page := n.probe("/metrics")
		for line := range strings.Lines(page) {
			at := strings.LastIndexByte(line, ' ')
			if at < 0 || line[0] == '#' {
				continue
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
			if err != nil {
				t.Errorf("bad line %q", line)
			}
			values[line[:at]] = v
		}
		return status == 200 && strings.HasSuffix(page, "\n")
	})
	return values
}

// until scrapes until ok holds, and returns that scrape.
func (n *node) until(t testing.TB, what string, ok func(map[string]float64) bool) (
	values map[string]float64,
) {
	t.Helper()
	eventually(t, what, func() bool {
		values = n.scrape(t)
		return ok(values)
	})
	return values
}

// Connections are counted by transport, and bytes to the byte, framing included.
func TestScrapeConnectionsAndBytes(t *testing.T) {
	n := startNode(t)
	for range 2 {
		n.dial(t, overTCP)
	}
	ws := n.dial(t, overWS)
	n.dial(t, overWS)
	p, err := n.connect("tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	if _, err := p.Recv(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	const tcp = `mb_connections_by_transport{transport="tcp"}`
	const overWebSocket = `mb_connections_by_transport{transport="ws"}`
	before := n.until(t, "five are counted", func(v map[string]float64) bool {
		return v[tcp] == 3 && v[overWebSocket] == 2 && v["mb_connections"] == 5
	})
	sent, got := 0, 0
	for range 3 {
		message := "publish:scrape.nobody:1.0.0:" + idA + "\n" + strings.Repeat("x", 1000)
		if err := p.Send([]byte(message)); err != nil {
			t.Fatal(err)
		}
		f, err := p.Recv(time.Now().Add(patience))
		if err != nil {
			t.Fatal(err)
		}
		sent, got = sent+4+len(message), got+4+len(f.data)
	}
	_ = ws.peer.Close()
	after := n.until(t, "one has gone", func(v map[string]float64) bool {
		return v[tcp] == 3 && v[overWebSocket] == 1
	})
	// Of a WebSocket that closes, the two frames: its own, masked, and the answer.
	const closing, closed = 2 + 4 + 2, 2 + 2
	for name, want := range map[string]int{
		"mb_received_bytes_total": sent + closing, "mb_sent_bytes_total": got + closed,
	} {
		if d := after[name] - before[name]; d != float64(want) {
			t.Errorf("%s grew by %v, want %d", name, d, want)
		}
	}
}

// Descriptors are what the system says: those that are open, and how many may be.
func TestScrapeDescriptors(t *testing.T) {
	n := launchNode(t, launch{files: 600, settings: []string{"connection.max.concurrent=100"}})
	for range 50 {
		n.dial(t, overTCP)
	}
	v := n.scrape(t)
	if v["process_max_fds"] != 600 {
		t.Errorf("%v may be open, want 600", v["process_max_fds"])
	}
	// The scrape has its connection and what it reads open.
	if more := int(v["process_open_fds"]) - n.descriptors(); more < 0 || more > 5 {
		t.Errorf("%v are open, %d more than there are", v["process_open_fds"], more)
	}
}

// What is published and asked is in the histograms, once for each loop with subscribers, and
// nothing else is.
func TestScrapeTimes(t *testing.T) {
	n := startNode(t, "loops=2")
	b, c := n.dial(t, overTCP), n.dial(t, overWS)
	b.subscribe("both", "scrape.times")
	before := n.scrape(t)
	began := time.Now()
	const many = 20
	for range many {
		c.send("publish:scrape.times:1.0.0:"+idA, "x")
		c.await("the acknowledgement", func(m message) bool { return m.Action == "response" })
		id := uuid.NewString()
		c.send("request:scrape.times:1.0.0:"+id, "x")
		asked := b.await("the request", func(m message) bool { return m.Action == "request" })
		b.send("response:scrape.times:1.0.0:"+asked.ID, "y")
		c.await("the answer", func(m message) bool { return m.ID == id })
		c.send("request:scrape.nobody:1.0.0:"+id, "x")
		c.expectFault("response:scrape.nobody:1.0.0:"+id, "NO_ROUTE_FOUND")
	}
	after := n.until(t, "all are counted", func(v map[string]float64) bool {
		const published = "mb_publish_flush_seconds_count"
		const answered = "mb_request_answer_seconds_count"
		return v[published] >= before[published]+many && v[answered] >= before[answered]+many
	})
	took := time.Since(began).Seconds()
	for _, name := range []string{"publish_flush", "request_answer", "turn"} {
		name = "mb_" + name + "_seconds"
		count := after[name+"_count"] - before[name+"_count"]
		sum := after[name+"_sum"] - before[name+"_sum"]
		if sum <= 0 || sum > 2*took || after[name+`_bucket{le="+Inf"}`] != after[name+"_count"] ||
			after[name+`_bucket{le="10"}`] < after[name+`_bucket{le="0.00001"}`] {
			t.Errorf("%s: %v in %v s of %v s", name, count, sum, took)
		}
		if exact := name != "mb_turn_seconds"; exact != (count == many) || count < many {
			t.Errorf("%s: %v were counted", name, count)
		}
	}
}

// A subscriber that does not read is slow, and the largest backlog is its; when it has gone, nobody
// is and there is none.
func TestScrapeSlowSubscriber(t *testing.T) {
	n := startNode(t)
	slow, publisher := n.narrow(t, overTCP), n.dial(t, overTCP)
	slow.subscribe("publish", "scrape.slow")
	sent := 0
	n.until(t, "it is slow", func(v map[string]float64) bool {
		publisher.flood(always("scrape.slow"), sent, sent+100)
		sent += 100
		return v["mb_connections_slow"] == 1 && v["mb_connection_backlog_max_bytes"] > 100_000
	})
	v := n.scrape(t)
	backlog, most := v["mb_connection_backlog_max_bytes"], float64(2*sent*(len(filler)+200)+16<<10)
	if backlog > most || v["mb_connections_unread"] != 0 {
		t.Errorf("the backlog is %v of at most %v, %v are not read",
			backlog, most, v["mb_connections_unread"])
	}
	_ = slow.peer.Close()
	n.until(t, "it has gone", func(v map[string]float64) bool {
		return v["mb_connections_slow"] == 0 && v["mb_connection_backlog_max_bytes"] == 0
	})
}

// A client that does not read its answers is not read, and counted so for as long as it is there.
func TestScrapeUnread(t *testing.T) {
	n := startNode(t, owingSettings...)
	c := n.narrow(t, overTCP)
	go func() { // until the test closes it
		for c.peer.Send([]byte("nonsense")) == nil {
		}
	}()
	n.until(t, "it is not read", func(v map[string]float64) bool {
		return v["mb_connections_unread"] == 1 && v["mb_connections_owing"] == 1
	})
	_ = c.peer.Close()
	n.until(t, "it has gone", func(v map[string]float64) bool {
		return v["mb_connections_unread"] == 0 && v["mb_connections_owing"] == 0
	})
}

// A scrape costs nothing for good, after a peak either: what it takes is garbage, and neither the
// heap nor what the system has given grows with the number of scrapes.
func TestScrapeIsForgotten(t *testing.T) {
	n := startNode(t, "admin.pprof=true", "connection.max.concurrent=3000")
	collected := func() map[string]float64 {
		for range 2 { // the first one leaves what has a finalizer
			if status, _ := n.probe("/debug/pprof/heap?gc=1"); status != 200 {
				t.Fatalf("profile: %d", status)
			}
		}
		return n.scrape(t)
	}
	const scrapes = 150
	var peers []peer
	for i := range 400 {
		p, err := n.connect([]string{overTCP, overWS}[i%2])
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, p)
	}
	n.scrape(t)
	for _, p := range peers {
		_ = p.Close()
	}
	n.until(t, "all have gone", func(v map[string]float64) bool {
		return v["mb_connections"] == 0
	})
	// The first ones make what the others use again: spans for stacks of their goroutines.
	for range scrapes {
		n.probe("/metrics")
	}
	// A collection of its own may come between a profile, whose making leaves a megabyte of
	// garbage, and the scrape, or not: of some looks before the largest counts, of some after the
	// smallest.
	before, after := collected(), map[string]float64{}
	for range 3 {
		for name, v := range collected() {
			before[name] = max(before[name], v)
		}
	}
	for range scrapes {
		n.probe("/metrics")
	}
	for range 4 {
		for name, v := range collected() {
			if least, known := after[name]; !known || v < least {
				after[name] = v
			}
		}
	}
	// Of the heap what its objects take counts: how many spans they are spread over is chance. The
	// runtime keeps spans for some stacks, more or fewer (300 KiB were seen); a stack of 8 KiB
	// that each scrape left would be twice what is allowed.
	const stacks = scrapes * 8 << 10 / 2
	for name, more := range map[string]float64{
		"go_memstats_alloc_bytes": 256 << 10, "go_memstats_stack_inuse_bytes": stacks,
		"go_memstats_sys_bytes": 8 << 20, "process_resident_memory_bytes": 8 << 20,
	} {
		t.Logf("%s: %v, then %v", name, before[name], after[name])
		if after[name] > before[name]+more {
			t.Errorf("%s: %v, after %d scrapes %v", name, before[name], scrapes, after[name])
		}
	}
}
