package logging

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// errStalled is what Close returns when the output did not take the queued lines in time.
var errStalled = errors.New("logging: the output is stalled, queued lines are lost")

// ownModule is the module of the lines in which the log speaks of itself.
const ownModule = "logging"

// core is what a handler shares with all that were derived from it.
type core struct {
	// Immutable after New.
	level slog.Level
	root  *Handler // tells of overflows
	lines *backlog // for the output
	stop  chan struct{}

	// Atomic.
	tapped atomic.Pointer[tapped] // nil: there is no tap
	closed atomic.Bool

	// Guarded by mu.
	mu   sync.Mutex
	taps *backlog // for the tap; nil before the first

	// Owned by the output's goroutine.
	writeErr error // first failure of the output

	// Owned by the tap's goroutine.
	attrs bytes.Buffer // the attributes of one record
}

// New returns a handler that writes records of the level and above to w, in format "text"
// (slog.TextHandler), else as JSON (slog.JSONHandler). Every line is one Write. It starts a
// goroutine that Close ends.
func New(w io.Writer, level slog.Level, format string) *Handler {
	c := &core{level: level, stop: make(chan struct{})}
	h := &Handler{core: c}
	// Levels are checked before a record is queued: formatting must take all.
	all := &slog.HandlerOptions{Level: slog.Level(-1 << 31)}
	sink := writerFunc(func(line []byte) (int, error) {
		n, err := w.Write(line)
		if err != nil && c.writeErr == nil {
			c.writeErr = err
		}
		return n, err
	})
	if format == "text" {
		h.out = slog.NewTextHandler(sink, all)
	} else {
		h.out = slog.NewJSONHandler(sink, all)
	}
	taps := &slog.HandlerOptions{Level: all.Level, ReplaceAttr: onlyAttrs}
	h.tap = slog.NewJSONHandler(&c.attrs, taps)
	c.root = h
	c.lines = newBacklog(c.stop, c.write, c.writeDropped)
	return h
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// onlyAttrs leaves away what a Line carries as fields.
func onlyAttrs(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 {
		switch a.Key {
		case slog.TimeKey, slog.LevelKey, slog.MessageKey, moduleKey:
			return slog.Attr{}
		}
	}
	return a
}

// push queues an entry for whoever wants it. Each has a queue of its own: what only the tap wants
// never takes the room of what is to be written. Any goroutine.
func (c *core) push(e entry) {
	if c.closed.Load() {
		return
	}
	if e.record.Level >= c.level {
		c.lines.push(e)
	}
	c.tap(e)
}

// write writes one record. The output's goroutine only.
func (c *core) write(e entry) {
	_ = e.from.out.Handle(context.Background(), e.record) // the sink keeps the failure for Close
}

// writeDropped writes how many lines the output was too slow for, and shows that to the tap. The
// output's goroutine only.
func (c *core) writeDropped(n uint64) {
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines dropped: the output is too slow", 0)
	r.AddAttrs(slog.String(moduleKey, ownModule), slog.Uint64("count", n))
	e := entry{from: c.root, module: ownModule, record: r}
	if r.Level >= c.level {
		c.write(e)
	}
	c.tap(e)
}

// Close writes and shows what was queued before it and stops the goroutines; later records are
// discarded. It returns the first failure of the output, or an error when ctx ends before all is
// written. Calling it again is harmless.
func (h *Handler) Close(ctx context.Context) error {
	c := h.core
	c.mu.Lock()
	if !c.closed.Swap(true) {
		close(c.stop)
	}
	taps := c.taps
	c.mu.Unlock()
	select {
	case <-c.lines.done:
	case <-ctx.Done():
		return errStalled
	}
	if taps != nil {
		select {
		case <-taps.done:
		case <-ctx.Done(): // nobody to read is left
		}
	}
	return c.writeErr
}
