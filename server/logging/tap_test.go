package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// stuck is a tap that takes nothing until it is released, and counts what it sees.
type stuck struct {
	entered chan struct{} // one token per line that came
	release chan struct{}

	// The tap's goroutine's until Close.
	seen, lost uint64
	told       []Line
}

func newStuck() *stuck {
	return &stuck{entered: make(chan struct{}, 1<<16), release: make(chan struct{})}
}

func (s *stuck) see(l Line) {
	s.entered <- struct{}{}
	<-s.release
	if l.Lost == 0 {
		s.seen++
		return
	}
	s.lost += l.Lost
	l.Attrs = bytes.Clone(l.Attrs)
	s.told = append(s.told, l)
}

// A tap that is stuck costs the output neither time nor lines, however many it wants and the output
// does not; and what it misses is counted and told to it.
func TestStuckTapCostsTheOutputNothing(t *testing.T) {
	g := newGate()
	h := New(g, slog.LevelInfo, "json")
	s := newStuck()
	h.SetTap(slog.LevelDebug, s.see)
	log := slog.New(h)
	log.Debug("first")
	<-s.entered // and now it is stuck
	const debug, info = 5 * queueSize, 64
	for i := range debug {
		log.Debug("for the tap only")
		if i%(debug/info) == 0 {
			log.Info("for both", "i", i)
		}
	}
	eventually(t, "the output has all of its lines", func() bool {
		return len(g.entered) == info
	})
	if h.Dropped() != 0 {
		t.Errorf("%d lines of the output are lost", h.Dropped())
	}
	close(s.release)
	closeNow(t, h)
	if len(g.writes) != info {
		t.Errorf("%d lines were written, want %d", len(g.writes), info)
	}
	if s.seen+s.lost != 1+debug+info || s.lost == 0 || s.lost != h.TapDropped() {
		t.Errorf("the tap saw %d and was told of %d (%d) lost, of %d",
			s.seen, s.lost, h.TapDropped(), 1+debug+info)
	}
	for _, l := range s.told {
		if l.Level != slog.LevelWarn || l.Module != ownModule || l.Time.IsZero() ||
			!strings.HasPrefix(l.Message, "log lines left out") ||
			string(l.Attrs) != fmt.Sprintf(`,"count":%d`, l.Lost) {
			t.Errorf("told %+v, %s", l, l.Attrs)
		}
	}
}

// A record that only the tap wants is not even made while the tap has no room for it, and counts as
// lost, once.
func TestFullTapWantsNothing(t *testing.T) {
	h := New(io.Discard, slog.LevelInfo, "json")
	s := newStuck()
	h.SetTap(slog.LevelDebug, s.see)
	log := slog.New(h)
	log.Debug("first")
	<-s.entered // and now it is stuck
	for range queueSize {
		log.Debug("fills the queue")
	}
	if h.TapDropped() != 0 {
		t.Fatalf("%d lines are lost before the queue is full", h.TapDropped())
	}
	ctx, made := context.Background(), 0
	const more = 10
	for range more {
		if log.Enabled(ctx, slog.LevelDebug) {
			log.Debug("made")
			made++
		}
	}
	if made != 0 || h.TapDropped() != more {
		t.Errorf("%d records were made, %d of %d counted", made, h.TapDropped(), more)
	}
	if log.Debug("not asked first"); h.TapDropped() != more+1 {
		t.Errorf("%d counted, want %d", h.TapDropped(), more+1)
	}
	if !log.Enabled(ctx, slog.LevelInfo) {
		t.Error("the output's lines are not wanted")
	}
	close(s.release)
	closeNow(t, h)
	if s.seen != 1+queueSize || s.lost != more+1 {
		t.Errorf("the tap saw %d and was told of %d", s.seen, s.lost)
	}
}

// What nobody reads any more is not lost to anybody, and without a tap there is no second queue.
func TestTapsGo(t *testing.T) {
	g := newGate()
	h := New(g, slog.LevelError, "json")
	log := slog.New(h)
	h.SetTap(0, nil)
	if h.core.taps != nil || h.TapDropped() != 0 {
		t.Error("nobody's tap has a queue")
	}
	s := newStuck()
	h.SetTap(slog.LevelInfo, s.see)
	log.Info("first")
	<-s.entered
	for range queueSize + 1 {
		log.Info("more")
	}
	if h.TapDropped() != 1 {
		t.Errorf("%d are lost, want 1", h.TapDropped())
	}
	h.SetTap(0, nil)
	second := newStuck()
	close(second.release)
	h.SetTap(slog.LevelWarn, second.see)
	close(s.release)
	eventually(t, "the first's are gone", func() bool { return len(h.core.taps.queue) == 0 })
	log.Warn("for the second")
	closeNow(t, h)
	if s.seen != 1 || second.seen != 1 || second.lost != 0 {
		t.Errorf("the first saw %d, the second %d and was told of %d",
			s.seen, second.seen, second.lost)
	}
	h.SetTap(slog.LevelInfo, s.see) // too late: it starts nothing
	log.Info("discarded")
}
