package logging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// errStalled is what Close returns when the output did not take the queued lines in time.
var errStalled = errors.New("the log's output is stalled: the lines that wait are lost")

// ownModule is the module of the lines in which the log speaks of itself.
const ownModule = "logging"

// core is what a handler shares with all that were derived from it.
type core struct {
	// Immutable after New.
	level slog.Level
	root  *Handler // tells of losses
	lines *backlog // for the output
	stop  chan struct{}

	// Atomic.
	tapped atomic.Pointer[tapped] // nil: there is no tap
	closed atomic.Bool
	reopen atomic.Bool // asked for

	// Guarded by mu.
	mu   sync.Mutex
	taps *backlog // for the tap; nil before the first

	// Their own comments say what is whose.
	out  output
	past past

	formatting sync.Mutex
	attrs      bytes.Buffer // the attributes of one record; guarded by formatting
}

// New returns a handler that writes records of the level and above to w, in format "text"
// (slog.TextHandler), else as JSON (slog.JSONHandler). Every line is one Write. Losses of lines are
// written whatever the level. It starts a goroutine that Close ends.
func New(w io.Writer, level slog.Level, format string) *Handler {
	c := &core{level: level, stop: make(chan struct{})}
	c.out.init(w)
	h := &Handler{core: c}
	// Levels are checked before a record is queued: formatting must take all.
	all := &slog.HandlerOptions{Level: slog.Level(-1 << 31)}
	if format == "text" {
		h.out = slog.NewTextHandler(&c.out, all)
	} else {
		h.out = slog.NewJSONHandler(&c.out, all)
	}
	taps := &slog.HandlerOptions{Level: all.Level, ReplaceAttr: onlyAttrs}
	h.tap = slog.NewJSONHandler(&c.attrs, taps)
	c.root = h
	c.lines = newBacklog(c.stop, c.write, c.writeDropped, c.woken)
	return h
}

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
		c.past.note(e)
		c.lines.push(e)
	}
	c.tap(e)
}

// write writes one record, behind the word of those that were lost before it; else it is lost, too.
// The output's goroutine only.
func (c *core) write(e entry) {
	if !c.tellLost() || e.from.out.Handle(context.Background(), e.record) != nil {
		c.out.lose(c.lines.wake)
	}
}

// speak writes a line of the log's own and shows it to the tap, unless it cannot be written. The
// output's goroutine only.
func (c *core) speak(level slog.Level, message string, attrs ...slog.Attr) (written bool) {
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.AddAttrs(slog.String(moduleKey, ownModule))
	r.AddAttrs(attrs...)
	e := entry{from: c.root, module: ownModule, record: r}
	if e.from.out.Handle(context.Background(), r) != nil {
		return false
	}
	c.past.note(e)
	c.tap(e)
	return true
}

// tellLost says how many lines could not be written, if any, and whether that is said. The output's
// goroutine only.
func (c *core) tellLost() bool {
	o := &c.out
	if o.lost == 0 {
		return true
	}
	if !c.speak(slog.LevelWarn, "log lines lost: they could not be written",
		slog.Uint64("count", o.lost), slog.String("error", o.why.Error())) {
		return false
	}
	o.told()
	return true
}

// writeDropped says how many lines the output was too slow for, if that can be written. The
// output's goroutine only.
func (c *core) writeDropped(n uint64) bool {
	said := c.tellLost() && c.speak(slog.LevelWarn, "log lines dropped: the output is too slow",
		slog.Uint64("count", n))
	if !said {
		c.out.tryLater(c.lines.wake)
	}
	return said
}

// woken opens the file anew when that was asked for, and tries again to tell of losses. The
// output's goroutine only.
func (c *core) woken() {
	if c.reopen.Swap(false) {
		c.reopenFile()
	}
	c.out.stopRetry()
	if !c.tellLost() && !c.closed.Load() {
		c.out.tryLater(c.lines.wake)
	}
}

// reopenFile goes on in the file that has the path now. The output's goroutine only.
func (c *core) reopenFile() {
	f, ok := c.out.w.(*File)
	if !ok {
		return
	}
	path := slog.String("file", f.path)
	if err := f.Reopen(); err != nil {
		c.speak(slog.LevelError, "the log file cannot be opened again: the old one is written on",
			path, slog.String("error", err.Error()))
		return
	}
	c.out.torn = f.torn()
	if slog.LevelInfo >= c.level {
		c.speak(slog.LevelInfo, "the log file is opened again", path)
	}
}

// Reopen has a File opened anew, soon: the lines after that go to the file that has its path then.
// Other outputs stay as they are. Any goroutine.
func (h *Handler) Reopen() {
	h.core.reopen.Store(true)
	h.core.lines.wake()
}

// Close writes and shows what was queued before it and stops the goroutines; later records are
// discarded. It returns an error when lines are lost and no line tells of it, or when ctx ends
// before all is written. Calling it again is harmless.
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
	if n := c.out.lost + c.lines.dropped.Load(); n > 0 {
		return fmt.Errorf("log lines could not be written, %d in all: %w", n, c.out.why)
	}
	return nil
}
