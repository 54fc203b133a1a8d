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

const (
	// queueSize is how many records may wait for the writer; more are dropped and counted.
	queueSize = 1024
	// overflowInterval is how often dropped records are told while the queue never runs empty.
	overflowInterval = time.Second
	// closeTimeout bounds Close when the output is stalled.
	closeTimeout = 2 * time.Second
)

// errStalled is what Close returns when the output did not take the queued lines in closeTimeout.
var errStalled = errors.New("logging: the output is stalled, queued lines are lost")

// Line is one record as the tap sees it.
type Line struct {
	Level   slog.Level
	Time    time.Time
	Message string
	Module  string // "" when the record has none
	// Attrs are `,"k":v…` JSON members without the module, may be empty; valid until the tap
	// returns.
	Attrs []byte
}

type tap struct {
	min slog.Level
	f   func(Line)
}

// entry is one queued record.
type entry struct {
	from   *Handler
	module string
	record slog.Record
}

// core is what a handler shares with all that were derived from it.
type core struct {
	// Immutable after New.
	level slog.Level
	root  *Handler // tells of overflows
	queue chan entry
	stop  chan struct{}
	done  chan struct{} // closed when the writer goroutine ends

	// Atomic.
	tap          atomic.Pointer[tap]
	closed       atomic.Bool
	dropped      atomic.Uint64 // since the last overflow line
	droppedTotal atomic.Uint64

	// Owned by the writer goroutine.
	attrs    bytes.Buffer // the tap's attributes of one record
	lastTold time.Time
	writeErr error // first failure of the output

	closeOnce sync.Once
}

// New returns a handler that writes records of the level and above to w, in format "text"
// (slog.TextHandler), else as JSON (slog.JSONHandler). Every line is one Write. It starts a
// goroutine that Close ends.
func New(w io.Writer, level slog.Level, format string) *Handler {
	c := &core{
		level: level, queue: make(chan entry, queueSize),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	h := &Handler{core: c}
	// Levels are checked in Enabled and in emit: formatting must take all.
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
	go c.run()
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

// push queues an entry or counts it as dropped. Any goroutine.
func (c *core) push(e entry) {
	if c.closed.Load() {
		return
	}
	select {
	case c.queue <- e:
	default:
		c.dropped.Add(1)
		c.droppedTotal.Add(1)
	}
}

// run is the writer goroutine.
func (c *core) run() {
	defer close(c.done)
	for {
		select {
		case e := <-c.queue:
			c.emit(e)
			c.tellDropped(false)
		case <-c.stop:
			for {
				select {
				case e := <-c.queue:
					c.emit(e)
				default:
					c.tellDropped(true)
					return
				}
			}
		}
	}
}

// emit writes one record and shows it to the tap.
func (c *core) emit(e entry) {
	ctx := context.Background()
	if e.record.Level >= c.level {
		_ = e.from.out.Handle(ctx, e.record) // the sink keeps the failure for Close
	}
	t := c.tap.Load()
	if t == nil || e.record.Level < t.min {
		return
	}
	c.attrs.Reset()
	line := Line{
		Level: e.record.Level, Time: e.record.Time, Message: e.record.Message, Module: e.module,
	}
	if e.from.tap.Handle(ctx, e.record) == nil {
		line.Attrs = members(c.attrs.Bytes())
	}
	t.f(line)
}

// members turns `{"k":v}\n` into `,"k":v`, in place.
func members(object []byte) []byte {
	object = bytes.TrimSuffix(object, []byte("}\n"))
	if len(object) <= 1 {
		return nil
	}
	object[0] = ','
	return object
}

// tellDropped writes the overflow line: when the queue ran empty, or after overflowInterval,
// or in any case.
func (c *core) tellDropped(now bool) {
	if c.dropped.Load() == 0 {
		return
	}
	at := time.Now()
	if !now && len(c.queue) > 0 && at.Sub(c.lastTold) < overflowInterval {
		return
	}
	c.lastTold = at
	r := slog.NewRecord(at, slog.LevelWarn, "log lines dropped: the output is too slow", 0)
	r.AddAttrs(slog.String(moduleKey, "logging"), slog.Uint64("count", c.dropped.Swap(0)))
	c.emit(entry{from: c.root, module: "logging", record: r})
}

// Close writes what was queued before it and stops the goroutine; later records are discarded. It
// returns the first failure of the output, or an error after two seconds when the output takes
// nothing. Calling it again is harmless.
func (h *Handler) Close() error {
	c := h.core
	c.closeOnce.Do(func() {
		c.closed.Store(true)
		close(c.stop)
	})
	select {
	case <-c.done:
		return c.writeErr
	case <-time.After(closeTimeout):
		return errStalled
	}
}
