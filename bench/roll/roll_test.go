//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a node writes is cut into the same events, however it arrives.
func TestWire(t *testing.T) {
	long := strings.Repeat("l", 70_000)
	for _, ws := range []bool{false, true} {
		var b []byte
		if ws {
			b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"...)
			b = append(b, 0x81, 3, 'a', '\n', 'x', 0x89, 1, 'p', 0x81, 126, 1, 0)
			b = append(append(b, "a\n"...), long[:254]...)
			b = append(b, 0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x72)
			b = append(append(b, "a\n"...), long...)
			b = append(b, 0x88, 2, 0x03, 0xe9)
		} else {
			for _, payload := range []string{"x", long[:254], long} {
				b = appendMessage(b, false, "a", payload)
			}
		}
		for _, step := range []int{1, 7, len(b)} {
			var lengths, codes []int
			w := &wire{ws: ws}
			for piece := range slices.Chunk(b, step) {
				w.feed(piece)
				for {
					e, ok, err := w.next()
					if err != nil {
						t.Fatal(err)
					}
					if !ok {
						break
					}
					switch e.opcode {
					case opText:
						lengths = append(lengths, len(parse(e.data).payload))
					case opClose:
						codes = append(codes, closeCode(e.data))
					}
				}
			}
			if !slices.Equal(lengths, []int{1, 254, 70_000}) ||
				ws != slices.Equal(codes, []int{1001}) {
				t.Errorf("ws %v in pieces of %d: payloads of %d bytes, closed with %d",
					ws, step, lengths, codes)
			}
		}
	}
}

func TestWireRefusals(t *testing.T) {
	w := &wire{ws: true}
	w.feed([]byte("HTTP/1.1 503 Service Unavailable\r\n\r\n" +
		`{"error":{"code":"SERVICE_UNAVAILABLE","details":{"reason":"draining"}}}`))
	if _, _, err := w.next(); err == nil ||
		err.Error() != "refused: SERVICE_UNAVAILABLE draining" {
		t.Errorf("a refused handshake: %v", err)
	}
	m := parse([]byte("response:roll.echo:1.0.0:id\npay:load"))
	if m.action != "response" || m.topic != topicEcho || m.id != "id" ||
		string(m.payload) != "pay:load" {
		t.Errorf("parsed %+v", m)
	}
}

func TestEnds(t *testing.T) {
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	for err, want := range map[error]string{
		io.EOF: endStream, reset: endReset, net.ErrClosed: endLeft,
	} {
		if got := endOf(err); got != want {
			t.Errorf("%v is %q", err, got)
		}
	}
	if got := short(reset); got != "read: connection reset by peer" {
		t.Errorf("got %q", got)
	}
}

// logged is a log with lines a tenth of a second apart, from that time on.
func logged(from time.Time, lines ...string) *balancerLog {
	l := &balancerLog{}
	for i, text := range lines {
		at := from.Add(time.Duration(i+1) * 100 * time.Millisecond)
		l.lines = append(l.lines, logLine{at, text})
	}
	return l
}

// Lines as HAProxy 2.6 writes them.
const (
	isDown = "Server mb-tcp/n1 is DOWN. 2 active and 0 backup servers left. 13 sessions active."
	isUp   = "Server mb-tcp/n1 is UP. 3 active and 0 backup servers online."
	from   = "127.0.0.1:44610 [30/Nov/2026:14:38:06.700] "
	ended  = from + "mb-tcp mb-tcp/n1 1/0/0 291 -- 2/1/0/0/0 0/0"
	other  = from + "mb-tcp mb-tcp/n2 1/0/0 291 -- 2/1/0/0/0 0/0"
	upward = from + "mb-http mb-http/n1 0/0/0/1/4108 101 864 - - ---- 120/40/39/13/0 0/0 " +
		`"GET / HTTP/1.1"`
)

func TestLog(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		lines []string
		early int
	}{
		{[]string{other, upward, isDown, ended}, 0},
		{[]string{isDown}, 0},
		{[]string{ended, isDown}, 1},
		{[]string{ended}, 1},
	} {
		v := &verdict{}
		v.compare(logged(now, tt.lines...), "tcp", restart{node: "n1", at: now})
		if v.early != tt.early || len(v.order) != 1 {
			t.Errorf("%q: early %d, %q", tt.lines, v.early, v.order)
		}
	}
	if !closed("http", "n1")(upward) {
		t.Error("the line of a WebSocket is not understood")
	}
	for want, lines := range map[bool][]string{true: {isDown, isUp, ended}, false: {isUp, isDown}} {
		if got := logged(now, lines...).takes("tcp", "n1"); got != want {
			t.Errorf("%q: the node is taken: %v", lines, got)
		}
	}
}

// good is a verdict on nodes that have done nothing wrong.
func good() *verdict {
	return &verdict{
		tallies: []tally{
			{group: "tcp/go", kind: "go", calls: 10, ends: map[string]int{endLeft: 3}},
			{group: "http/old", kind: "old", calls: 10, lost: 1, away: 1,
				ends: map[string]int{endGoing: 3, endStream: 2}},
		},
		restarts:  []restart{{node: "n1"}},
		idle:      time.Millisecond,
		idleBound: time.Second,
	}
}

func TestVerdict(t *testing.T) {
	v := good()
	if v.judge(); len(v.failures) > 0 {
		t.Errorf("good nodes failed: %q", v.failures)
	}
	for name, spoil := range map[string]func(v *verdict){
		"draining: 2": func(v *verdict) {
			v.tallies[1].failed = map[string]int{"draining": 2}
		},
		"1 requests lost":   func(v *verdict) { v.tallies[0].lost = 1 },
		"1 not made":        func(v *verdict) { v.tallies[0].away = 1 },
		"before the answer": func(v *verdict) { v.tallies[1].lostServed = 1 },
		"refused: 502: 1":   func(v *verdict) { v.tallies[1].refusals = map[string]int{"502": 1} },
		"with: reset":       func(v *verdict) { v.tallies[1].ends[endReset] = 1 },
		"no call":           func(v *verdict) { v.tallies[0].calls = 0 },
		"served twice":      func(v *verdict) { v.servedTwice = 1 },
		"answered twice":    func(v *verdict) { v.answeredTwice = 1 },
		"exit code 1":       func(v *verdict) { v.restarts[0].code = 1 },
		"elsewhere":         func(v *verdict) { v.restarts[0].missed = 1 },
		"took the node":     func(v *verdict) { v.early = 1 },
		"were not back":     func(v *verdict) { v.killMissed = 1 },
		"an idle node":      func(v *verdict) { v.idle = 2 * time.Second },
	} {
		v := good()
		spoil(v)
		v.judge()
		if len(v.failures) != 1 || !strings.Contains(v.failures[0], name) {
			t.Errorf("%q: got %q", name, v.failures)
		}
	}
	if got := good().String(); !strings.Contains(got,
		"| http/old | 10 | 0 | 1 | 0 | 1 | 0 | 0 | 0 | 1001: 3, end of stream: 2 |") {
		t.Errorf("the report is\n%s", got)
	}
}

// On a machine that is too busy it is not judged who has lost what with a connection; the rest is.
func TestVerdictDisturbed(t *testing.T) {
	v := good()
	v.late = time.Second
	v.tallies[0].lost, v.tallies[0].refusals = 3, map[string]int{"502": 1}
	if v.judge(); len(v.failures) > 0 {
		t.Errorf("failed: %q", v.failures)
	}
	if v.tallies[0].lostServed = 1; !strings.Contains(v.String(), "DISTURBED") {
		t.Error("the report does not say so")
	}
	if v.judge(); len(v.failures) != 1 {
		t.Errorf("with what a service had served lost: %q", v.failures)
	}
}

// Of what was not answered, what was outstanding at a node that was killed is its own column.
func TestTally(t *testing.T) {
	now := time.Now()
	g := &group{front: "tcp", kind: "old"}
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	add := func(id, node string, began, ended int, o outcome) {
		one := call{id: id, node: node, began: at(began), ended: at(ended), outcome: o}
		g.bad = append(g.bad, one)
	}
	add("1", "killed", -100, 10, outcome{lost, "-"})
	add("2", "killed", -100, -50, outcome{lost, "-"}) // Before it was.
	add("3", "", 20, 20, outcome{away, ""})
	add("4", "other", -100, 10, outcome{lost, "-"})
	add("5", "other", -100, 10, outcome{failed, "draining"})
	book := newLedger()
	for _, id := range []string{"4", "4", "5"} {
		book.serve(id)
	}
	tr := &trial{book: book, killed: &death{id: "killed", at: now}}
	a := tr.tally(g)
	got := fmt.Sprint(a.killed, a.lost, a.lostServed, a.away, a.failed)
	if got != "2 1 1 0 map[draining:1]" {
		t.Errorf("got %s", got)
	}
	if served, answered := book.twice(); served != 1 || answered != 0 {
		t.Errorf("%d served and %d answered twice", served, answered)
	}
}

func TestValid(t *testing.T) {
	right := options{groups: []string{"tcp/go"}, phases: []string{"idle"}, connections: 10}
	if err := right.valid(); err != nil {
		t.Error(err)
	}
	for _, spoil := range []func(o *options){
		func(o *options) { o.groups = []string{"udp/go"} },
		func(o *options) { o.groups = []string{"tcp/new"} },
		func(o *options) { o.phases = []string{"sleep"} },
		func(o *options) { o.longs = 10 },
	} {
		o := right
		if spoil(&o); o.valid() == nil {
			t.Errorf("%+v is no error", o)
		}
	}
}

// Each front has the nodes' listeners that belong to it.
func TestFronts(t *testing.T) {
	b := &balancers{ports: map[string]int{"tcp": 1, "http": 2, "tls": 3, "nginx": 4},
		log: &balancerLog{address: "127.0.0.1:5"}}
	nodes := []*node{{name: "n1", tcp: 11, ws: 12, tls: 13, admin: 14}}
	text := b.haproxy(nodes, fronts, time.Second)
	for _, want := range []string{
		"listen mb-tcp\n    bind 127.0.0.1:1\n    mode tcp\n",
		"server n1 127.0.0.1:12 port 14\n", "server n1 127.0.0.1:13 port 14\n", "inter 1000ms",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("HAProxy's configuration has no %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "nginx") || !strings.Contains(b.nginx(nodes), "127.0.0.1:12 ") {
		t.Error("nginx is not told apart")
	}
}
