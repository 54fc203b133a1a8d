//go:build linux

package main

import (
	"bufio"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCells(t *testing.T) {
	sample, err := cellsNamed("sample", 7)
	if err != nil || len(sample) != len(attacks) {
		t.Fatalf("a sample has %d of %d attacks, %v", len(sample), len(attacks), err)
	}
	again, _ := cellsNamed("sample", 7)
	other, _ := cellsNamed("sample", 8)
	text := func(cells []cell) (s string) {
		for _, c := range cells {
			s += c.String() + " "
		}
		return s
	}
	if text(sample) != text(again) || text(sample) == text(other) {
		t.Error("a sample does not follow from its seed")
	}
	every, err := cellsNamed("all", 7)
	if want := (len(attacks) + 1) * len(loopCounts) * len(memoryMiB); err != nil ||
		len(every) != want {
		t.Errorf("there are %d cells of %d, %v", len(every), want, err)
	}
	two, err := cellsNamed("fan/4/256,together", 7)
	if err != nil || text(two) != "fan/4/256 together/2/64 " {
		t.Errorf("two cells are %q, %v", text(two), err)
	}
	some, err := cellsNamed("fan+paused/1/64", 7)
	if err != nil || text(some) != "fan+paused/1/64 " || !some[0].pauses() {
		t.Errorf("two attacks at once are %q, %v", text(some), err)
	}
	for _, bad := range []string{"", "nothing", "fan/two", "fan+nothing"} {
		if _, err := cellsNamed(bad, 7); err == nil {
			t.Errorf("%q is no error", bad)
		}
	}
}

// Every attack has what the table needs, and a node's settings contradict in none.
func TestAttacks(t *testing.T) {
	names := make(map[string]bool)
	for _, a := range append(attacks[:len(attacks):len(attacks)], all) {
		if a.name == "" || a.item == "" || a.what == "" || names[a.name] {
			t.Errorf("attack %q: %q, %q", a.name, a.item, a.what)
		}
		names[a.name] = true
		keys := make(map[string]bool)
		for _, s := range (cell{attack: a}).settings() {
			key, _, _ := strings.Cut(s, "=")
			if keys[key] {
				t.Errorf("%s sets %s twice", a.name, key)
			}
			keys[key] = true
		}
	}
}

// good is the verdict on a node that has done nothing wrong.
func good() verdict {
	quick := figures{1500, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond}
	return verdict{
		cell: cell{attack: attacks[0], loops: 2, mebibytes: 64},
		held: strict, length: 10 * time.Second,
		memory: memory{samples: 100, over: 1, most: 66 << 20}, quiet: quick, attacked: quick,
		arrivals: 200, shutdown: time.Second, obeyed: true,
	}
}

func TestVerdict(t *testing.T) {
	v := good()
	if v.judge(); len(v.failures) > 0 {
		t.Errorf("a good node failed: %q", v.failures)
	}
	for name, spoil := range map[string]func(v *verdict){
		"above the limit":  func(v *verdict) { v.memory.over = 2 },
		"of 64 MiB":        func(v *verdict) { v.memory.most = 68 << 20 },
		"p99 21.0 ms":      func(v *verdict) { v.attacked.p99 = 21 * time.Millisecond },
		"longest 300.0 ms": func(v *verdict) { v.attacked.max = 300 * time.Millisecond },
		"only 700 of 1500": func(v *verdict) { v.attacked.count = 700 },
		"polite clients":   func(v *verdict) { v.faults = "listener cut: 1" },
		"no newcomer":      func(v *verdict) { v.arrivals = 0 },
		"that read":        func(v *verdict) { v.army.Wronged = map[string]int{"errors": 1} },
		"of the node":      func(v *verdict) { v.memory.faults = 1 },
		"outstanding":      func(v *verdict) { v.cell.attack.most, v.memory.outstanding = 5, 11 },
		"left over":        func(v *verdict) { v.left = "services +1" },
		"SIGTERM":          func(v *verdict) { v.shutdown = 6 * time.Second },
	} {
		v := good()
		spoil(&v)
		v.judge()
		if len(v.failures) != 1 || !strings.Contains(v.failures[0], name) {
			t.Errorf("%q: got %q", name, v.failures)
		}
	}
	if got := table([]verdict{good()}); strings.Count(got, "\n") != 3 ||
		!strings.Contains(got, "| conflate/2/64 | 66.0 | 1/100 | 1.00 / 2.00 / 5.00 |") {
		t.Errorf("the table is\n%s", got)
	}
}

func TestLeftovers(t *testing.T) {
	before := books{connections: 90, charged: 1000, goroutines: 12, descriptors: 120}
	now := before
	now.charged += chargedSlack
	now.descriptors += descriptorSlack
	if left := now.leftovers(before); left != "" {
		t.Errorf("within the slack is left %q", left)
	}
	now.charged++
	now.connections--
	now.goroutines -= 100
	if left := now.leftovers(before); left != "connections -1, charged +262145" {
		t.Errorf("left is %q", left)
	}
}

// What a server writes is read whole, in frames of every kind and length.
func TestClientReads(t *testing.T) {
	for _, ws := range []bool{false, true} {
		ours, theirs := net.Pipe()
		c := &client{Conn: ours, ws: ws, br: bufio.NewReader(ours)}
		long := strings.Repeat("l", 70_000)
		go func() {
			var b []byte
			if ws {
				b = append(b, 0x81, 3, 'a', '\n', 'x')                    // One frame.
				b = append(b, 0x01, 1, 'a', 0x89, 0, 0x80, 2, '\n', 'y')  // A ping between two.
				b = append(b, 0x81, 126, 1, 0)                            // 256 bytes.
				b = append(b, "a\n"+long[:254]...)                        //
				b = append(b, 0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x72)    // 70,002 bytes.
				b = append(append(b, "a\n"+long...), 0x88, 2, 0x03, 0xe8) // Then the end.
			} else {
				for _, payload := range []string{"x", "y", long[:254], long} {
					b = appendFrame(b, false, "a", payload)
				}
			}
			_, _ = theirs.Write(b) // The reader notices.
			theirs.Close()
		}()
		if ws {
			go func() { _, _ = theirs.Read(make([]byte, 64)) }() // The pong.
		}
		for _, want := range []int{1, 1, 254, 70_000} {
			m, err := c.read()
			if err != nil || len(m.payload) != want {
				t.Fatalf("ws %v: got %d bytes of %d, %v", ws, len(m.payload), want, err)
			}
		}
		if _, err := c.read(); err == nil {
			t.Errorf("ws %v: the end is no error", ws)
		}
		c.Close()
	}
}

// Who has ended its own stream reads on, though it cannot answer what asks it for a heartbeat.
func TestMuteClientReadsOn(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ours, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	c := &client{Conn: ours, br: bufio.NewReader(ours), mute: true}
	_ = ours.(*net.TCPConn).CloseWrite()
	b := appendFrame(nil, false, "request:system.heartbeat:1.0.0", "{}")
	_, _ = theirs.Write(appendFrame(b, false, "response:a:1.0.0:x", "y")) // The reader notices.
	for _, want := range []string{"request", "response"} {
		if m, err := c.read(); err != nil || m.action != want {
			t.Fatalf("got %q, %v, want a %s", m.action, err, want)
		}
	}
}

func TestReason(t *testing.T) {
	payload := `{"error":{"code":"SERVICE_UNAVAILABLE","details":{"reason":"memory"}}}`
	if got := reasonOf([]byte(payload), "-"); got != "SERVICE_UNAVAILABLE memory" {
		t.Errorf("got %q", got)
	}
	if got := reasonOf([]byte(`{"status":"success"}`), "-"); got != "-" {
		t.Errorf("got %q", got)
	}
}

// The figures are of the worst loop.
func TestProbeFigures(t *testing.T) {
	p := &probes{loops: 2}
	slow, fast := make([]time.Duration, 200), make([]time.Duration, 100)
	for i := range slow {
		slow[i] = time.Duration(i)
	}
	slices.Reverse(slow)
	p.took[phaseAttack] = [][]time.Duration{slow, fast}
	if got := p.result(phaseAttack); got != (figures{100, 100, 197, 199}) {
		t.Errorf("got %+v", got)
	}
}
