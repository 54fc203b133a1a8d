package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is an output that stalls while it is locked and records every Write.
type gate struct {
	sync.Mutex
	entered chan struct{} // one token per Write that began
	writes  [][]byte
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 1<<16)} }

func (g *gate) Write(p []byte) (int, error) {
	g.entered <- struct{}{}
	g.Lock()
	defer g.Unlock()
	g.writes = append(g.writes, bytes.Clone(p))
	return len(p), nil
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came: %s", what)
		}
	}
}

func closeNow(t *testing.T, h *Handler) {
	t.Helper()
	if err := h.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// object parses a JSON line and refuses doubled keys.
func object(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return m
}

func TestJSONLine(t *testing.T) {
	var out bytes.Buffer
	h := New(&out, slog.LevelInfo, "json")
	log := slog.New(h).With("module", "door", "a", 1)
	log.Debug("hidden")
	log.WithGroup("peer").Info("hello", "module", "inner",
		"addr", netip.MustParseAddr("127.0.0.1"), "err", errors.New("no\nway"))
	closeNow(t, h)
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 1 {
		t.Fatalf("%d lines: %s", n, out.Bytes())
	}
	m := object(t, out.Bytes())
	peer, _ := m["peer"].(map[string]any)
	if m["msg"] != "hello" || m["level"] != "INFO" || m["module"] != "door" || m["a"] != 1.0 ||
		peer["addr"] != "127.0.0.1" || peer["err"] != "no\nway" || peer["module"] != "inner" {
		t.Errorf("got %s", out.Bytes())
	}
}

func TestTextLine(t *testing.T) {
	var out bytes.Buffer
	h := New(&out, slog.LevelDebug, "text")
	slog.New(h).Debug("two words",
		"list", []int{1, 2}, "addr", netip.MustParseAddr("::1"), "none", nil)
	closeNow(t, h)
	for _, want := range []string{
		"level=DEBUG", `msg="two words"`, `list="[1 2]"`, "addr=::1", "none=<nil>",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %s", want, out.String())
		}
	}
}

func TestReservedKeysAreNotDoubled(t *testing.T) {
	var out bytes.Buffer
	h := New(&out, slog.LevelInfo, "json")
	slog.New(h).With("time", "mine").Info("m", "msg", "other", "level", 3,
		slog.Group("", "timestamp", 1), slog.Group("g", "msg", "kept"))
	closeNow(t, h)
	m := object(t, out.Bytes())
	if m["msg"] != "m" || m["msg_"] != "other" || m["level_"] != 3.0 || m["time_"] != "mine" ||
		m["timestamp_"] != 1.0 || m["g"].(map[string]any)["msg"] != "kept" {
		t.Errorf("got %s", out.Bytes())
	}
	if bytes.Count(out.Bytes(), []byte(`"msg":`)) != 2 ||
		bytes.Count(out.Bytes(), []byte(`"time":`)) != 1 {
		t.Errorf("a key is doubled: %s", out.Bytes())
	}
}

// mutable is rendered when it is logged, not when it is written.
type mutable struct{ N int }

type panicking struct{}

func (panicking) String() string { panic("bad day") }

type lazy struct{ p *mutable }

func (l lazy) LogValue() slog.Value { return slog.IntValue(l.p.N) }

func TestValuesAreRenderedAtTheCall(t *testing.T) {
	g := newGate()
	g.Lock()
	h := New(g, slog.LevelInfo, "json")
	v := &mutable{1}
	slog.New(h).Info("m", "v", v, "lazy", lazy{v}, "raw", json.RawMessage(`{"x":1}`),
		"p", panicking{}, "bad", func() {}, "nil", (*bytes.Buffer)(nil))
	v.N = 2
	g.Unlock()
	closeNow(t, h)
	m := object(t, g.writes[0])
	if m["v"].(map[string]any)["N"] != 1.0 || m["lazy"] != 1.0 ||
		m["raw"].(map[string]any)["x"] != 1.0 {
		t.Errorf("got %s", g.writes[0])
	}
	if !strings.Contains(m["p"].(string), "bad day") ||
		!strings.Contains(m["bad"].(string), "unsupported type") {
		t.Errorf("got %s", g.writes[0])
	}
}

func TestTap(t *testing.T) {
	var out bytes.Buffer
	h := New(&out, slog.LevelWarn, "text")
	log := slog.New(h).With("module", "conn", "id", 7)
	ctx := t.Context()
	if h.Enabled(ctx, slog.LevelInfo) {
		t.Error("info is enabled without a tap")
	}
	log.Debug("before the tap")
	seen := make(chan string, 16)
	h.SetTap(slog.LevelInfo, func(l Line) {
		if l.Time.IsZero() {
			t.Error("no time")
		}
		seen <- fmt.Sprintf("%v %s [%s] %s", l.Level, l.Message, l.Module, l.Attrs)
	})
	if !h.Enabled(ctx, slog.LevelInfo) || h.Enabled(ctx, slog.LevelDebug) {
		t.Error("Enabled does not follow the tap")
	}
	log.Debug("below")
	log.Info("one", "k", "v", "err", errors.New("e"))
	log.WithGroup("g").Warn("two", "module", "kept", "x", true)
	slog.New(h).Error("three")
	slog.New(h).Error("four", "module", "late", "time", "mine")
	for _, want := range []string{
		`INFO one [conn] ,"id":7,"k":"v","err":"e"`,
		`WARN two [conn] ,"id":7,"g":{"module":"kept","x":true}`,
		`ERROR three [] `,
		`ERROR four [late] ,"time_":"mine"`,
	} {
		if got := <-seen; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	h.SetTap(0, nil)
	if h.Enabled(ctx, slog.LevelInfo) {
		t.Error("info is enabled after the tap went")
	}
	log.Error("after the tap")
	closeNow(t, h)
	if len(seen) != 0 {
		t.Errorf("the removed tap saw %q", <-seen)
	}
	if n := strings.Count(out.String(), "\n"); n != 4 || strings.Contains(out.String(), "one") {
		t.Errorf("output has %d lines: %s", n, out.String())
	}
}

func TestBlockedWriterDropsAndTells(t *testing.T) {
	g := newGate()
	g.Lock()
	h := New(g, slog.LevelInfo, "json")
	var tapped []string // the tap's goroutine's until Close
	h.SetTap(slog.LevelWarn, func(l Line) { tapped = append(tapped, l.Module+string(l.Attrs)) })
	log := slog.New(h)
	log.Info("first")
	<-g.entered // the writer holds it and is stalled
	const more = queueSize + 76
	for range more {
		log.Info("more") // returns although nothing is written
	}
	if h.Dropped() != 76 {
		t.Errorf("dropped %d, want 76", h.Dropped())
	}
	g.Unlock()
	eventually(t, "the loss is written", func() bool {
		return h.core.lines.dropped.Load() == 0 && len(h.core.lines.queue) == 0
	})
	closeNow(t, h)
	// The overflow is told at once (the last time was never) and all that was dropped is in it.
	var told float64
	for _, line := range g.writes {
		if m := object(t, line); m["module"] == "logging" {
			told += m["count"].(float64)
			if m["level"] != "WARN" {
				t.Errorf("level %v", m["level"])
			}
		}
	}
	if told != 76 || len(g.writes) != 1+queueSize+1 {
		t.Errorf("told %v in %d lines", told, len(g.writes))
	}
	if len(tapped) != 1 || tapped[0] != `logging,"count":76` {
		t.Errorf("tapped %q", tapped)
	}
}

func TestCloseWithAStalledOutput(t *testing.T) {
	g := newGate()
	g.Lock()
	h := New(g, slog.LevelInfo, "json")
	slog.New(h).Info("stuck")
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Close(ctx); !errors.Is(err, errStalled) {
		t.Errorf("Close: %v", err)
	}
	g.Unlock()
	<-h.core.lines.done
}

func TestConcurrentLinesAreWhole(t *testing.T) {
	g := newGate()
	h := New(g, slog.LevelInfo, "json")
	var tapped, untapped uint64 // the tap's goroutine's until Close
	count := func(l Line) {
		if l.Lost > 0 {
			untapped += l.Lost
		} else {
			tapped++
		}
	}
	h.SetTap(slog.LevelDebug, count)
	const writers, each = 8, 500
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			log := slog.New(h).With("module", fmt.Sprint(w))
			for i := range each {
				log.With("i", i).Info("line", "pad", strings.Repeat("x", i))
				if i%100 == 0 {
					h.SetTap(slog.LevelDebug, count)
				}
			}
		})
	}
	all.Wait()
	closeNow(t, h)
	lines, own, told := 0, uint64(0), uint64(0)
	last := map[any]float64{}
	for _, w := range g.writes {
		if bytes.Count(w, []byte("\n")) != 1 || w[len(w)-1] != '\n' {
			t.Fatalf("a Write is not one line: %q", w)
		}
		m := object(t, w)
		if m["module"] == "logging" {
			own++
			told += uint64(m["count"].(float64))
			continue
		}
		lines++
		if i := m["i"].(float64); i < last[m["module"]] {
			t.Fatalf("module %v: %v after %v", m["module"], i, last[m["module"]])
		} else {
			last[m["module"]] = i
		}
	}
	if uint64(lines)+h.Dropped() != writers*each || told != h.Dropped() {
		t.Errorf("%d lines, %d dropped, %d told of %d", lines, h.Dropped(), told, writers*each)
	}
	if tapped+untapped != writers*each+own || untapped != h.TapDropped() {
		t.Errorf("tapped %d, told of %d that were not, of %d", tapped, untapped, writers*each+own)
	}
}
