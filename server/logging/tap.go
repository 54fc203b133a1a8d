package logging

import (
	"bytes"
	"log/slog"
	"strconv"
	"time"
)

// Line is one record as the tap sees it.
type Line struct {
	Level   slog.Level
	Time    time.Time
	Message string
	Module  string // "" when the record has none
	// Attrs are `,"k":v…` JSON members without the module, may be empty; valid until the tap
	// returns.
	Attrs []byte
	// Lost is 0, but for the line that says how many the tap was too slow for: nobody has seen
	// what they were, so it is meant for whoever reads.
	Lost uint64
}

// tapped is what SetTap asked for. Immutable.
type tapped struct {
	min slog.Level
	f   func(Line)
	to  *backlog
}

// tap queues an entry for the tap, if that wants it. Any goroutine.
func (c *core) tap(e entry) {
	if t := c.tapped.Load(); t != nil && e.record.Level >= t.min {
		t.to.push(e)
	}
}

// SetTap lets f see every record of level min and above, also those below the output's level; nil
// takes it away. f runs on a goroutine of the tap's own, which has a queue of its own: what f takes
// costs the output nothing, and what it is too slow for is dropped, counted, and told by a Line.
// Records that f logs are queued like any other, so an f that always logs never ends. A record
// queued before SetTap may still reach f.
func (h *Handler) SetTap(min slog.Level, f func(Line)) {
	c := h.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if f == nil || c.closed.Load() {
		c.tapped.Store(nil)
		if c.taps != nil {
			c.taps.dropped.Store(0) // nobody misses them
		}
		return
	}
	if c.taps == nil { // whom nobody listens to needs neither queue nor goroutine
		// It ends behind the output, which may have lost lines to tell of.
		c.taps = newBacklog(c.lines.done, c.show, c.showDropped, nil)
	}
	c.tapped.Store(&tapped{min: min, f: f, to: c.taps})
}

// show lets the tap see one record. The tap's goroutine only.
func (c *core) show(e entry) {
	t := c.tapped.Load()
	if t == nil || e.record.Level < t.min {
		return
	}
	line := lineOf(e)
	c.formatting.Lock()
	defer c.formatting.Unlock()
	line.Attrs = c.attrsOf(e)
	t.f(line)
}

// showDropped tells the tap how many records it was too slow for. The tap's goroutine only.
func (c *core) showDropped(n uint64) bool {
	if t := c.tapped.Load(); t != nil {
		t.f(Line{
			Level: slog.LevelWarn, Time: time.Now(), Module: ownModule, Lost: n,
			Message: "log lines left out: their readers' expressions are too slow",
			Attrs:   strconv.AppendUint([]byte(`,"count":`), n, 10),
		})
	}
	return true // or nobody misses them
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
