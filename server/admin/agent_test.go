package admin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"mbserver/server/metrics"
)

// toldNode says what it is told to. Any goroutine.
type toldNode struct {
	sound

	mu    sync.Mutex
	ready string // a word; "ok": it is
	live  string
	load  metrics.Load
}

func (n *toldNode) set(ready, live string, l metrics.Load) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ready, n.live, n.load = ready, live, l
}

func (n *toldNode) Sample(time.Time) *metrics.Sample { return &metrics.Sample{} }

func (n *toldNode) Cluster(time.Time) metrics.Cluster { return metrics.Cluster{} }

func (n *toldNode) Ready() (bool, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ready == "ok", n.ready
}

func (n *toldNode) Live() (bool, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.live == "ok", n.live
}

func (n *toldNode) Load() metrics.Load {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.load
}

const patience = 10 * time.Second

func startAgent(t *testing.T, n *toldNode) *Agent {
	t.Helper()
	a, err := StartAgent("127.0.0.1:0", n, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close(context.Background())
		if _, err := net.Dial("tcp", a.Addr()); err == nil {
			t.Error("it is still there")
		}
	})
	return a
}

func dialAgent(t *testing.T, a *Agent) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", a.Addr(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// The agent says one line, by the node's state, and ends the stream, whatever it is sent.
func TestAgentLines(t *testing.T) {
	n := &toldNode{}
	idle := metrics.Load{Loops: 2}
	n.set("ok", "ok", idle)
	a := startAgent(t, n)
	for _, tt := range []struct{ ready, live, want string }{
		{"ok", "ok", "up 100%\n"},
		{"draining", "ok", "up 0%\n"},
		{"memory", "ok", "up 0%\n"},
		{"isolated", "ok", "up 0%\n"},
		{"starting", "ok", "down #starting\n"},
		{"stopped", "ok", "down #stopped\n"},
		{"ok", "stuck", "down #stuck\n"},
		{"ok", "ok", "up 100%\n"},
	} {
		n.set(tt.ready, tt.live, idle)
		for _, sends := range []string{"", "backend-1\n"} {
			c := dialAgent(t, a)
			if _, err := io.WriteString(c, sends); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(c)
			if string(b) != tt.want || err != nil {
				t.Errorf("%+v: %q, %v", tt, b, err)
			}
			_ = c.Close()
		}
	}
}

// Who connects and says and reads nothing keeps others waiting for a moment only.
func TestAgentIsBounded(t *testing.T) {
	n := &toldNode{}
	n.set("ok", "ok", metrics.Load{Loops: 1})
	a := startAgent(t, n)
	dialAgent(t, a)
	c := dialAgent(t, a)
	_, _ = c.Write([]byte(strings.Repeat("x", 4*agentBytes)))
	began := time.Now()
	last := dialAgent(t, a)
	b := make([]byte, 16)
	if n, err := last.Read(b); err != nil || !strings.HasPrefix(string(b[:n]), "up ") {
		t.Errorf("%q, %v", b[:n], err)
	}
	if took := time.Since(began); took > 10*agentTime {
		t.Errorf("it took %v", took)
	}
}

// The weight falls with what is used most, in steps, not below its floor, and comes back. What goes
// up and down within a second does not move it.
func TestWeight(t *testing.T) {
	var w weight
	now, l := time.Now(), metrics.Load{Loops: 2}
	w.begin(now, l)
	after := func(seconds int, busy float64) (weights []int) {
		for range seconds {
			now = now.Add(time.Second)
			l.Busy += time.Duration(busy * float64(l.Loops) * float64(time.Second))
			weights = append(weights, w.next(now, l))
		}
		return weights
	}
	last := func(s []int) int { return s[len(s)-1] }
	if got := last(after(20, 0.02)); got != 100 {
		t.Errorf("nearly idle: %d", got)
	}
	if got := last(after(30, 0.6)); got != 40 {
		t.Errorf("60 %% busy: %d", got)
	}
	if first := after(1, 1)[0]; first < 25 {
		t.Errorf("after one busy second: %d", first)
	}
	if got := last(after(30, 1)); got != weightFloor {
		t.Errorf("all busy: %d", got)
	}
	if got := last(after(30, 0.3)); got != 70 {
		t.Errorf("30 %% busy: %d", got)
	}
	for i := range 60 {
		if got := after(1, 0.3+0.1*float64(i%2*2-1)); got[0] < 60 || got[0] > 80 {
			t.Fatalf("with a load that swings: %d", got[0])
		}
	}
	l.Memory = 0.8
	if got := last(after(10, 0.3)); got != 20 {
		t.Errorf("with 80 %% of the memory: %d", got)
	}
	l.Memory, l.Places = 0.1, 2
	if got := last(after(10, 0.3)); got != weightFloor {
		t.Errorf("without places: %d", got)
	}
	l.Places = 0
	many := w
	many.next(now.Add(time.Millisecond), l)
	if fmt.Sprint(many) != fmt.Sprint(w) {
		t.Error("two readings at once are two")
	}
}
