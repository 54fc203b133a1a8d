package logging

import (
	"context"
	"log/slog"
)

// moduleKey is the attribute that names the part of the node a record comes from;
// it is lifted into Line.Module.
const moduleKey = "module"

// Handler is a slog.Handler. Any goroutine.
type Handler struct {
	// Immutable after New, WithAttrs or WithGroup.
	core   *core
	out    slog.Handler // formats for the output; called on the output's goroutine only
	tap    slog.Handler // formats the attributes for the tap; called on the tap's goroutine only
	module string
	groups int // open groups; "module" is lifted outside of groups only
}

// Enabled reports whether the output or the tap wants the level. A record that only the tap wants,
// and which would find no room there, counts as dropped here: whoever asks first makes none.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	if level >= h.core.level {
		return true
	}
	t := h.core.tapped.Load()
	return t != nil && level >= t.min && !t.to.refuses()
}

// Handle queues the record and returns at once; it never fails. Values that could change before
// they are written are rendered now.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	e := entry{from: h, module: h.module, record: slog.NewRecord(r.Time, r.Level, r.Message, r.PC)}
	r.Attrs(func(a slog.Attr) bool {
		a = freeze(a, h.groups == 0)
		if h.groups == 0 && a.Key == moduleKey {
			e.module = a.Value.String()
		}
		e.record.AddAttrs(a)
		return true
	})
	h.core.push(e)
	return nil
}

// WithAttrs returns a handler whose records carry the attributes. It shares queue, output and tap.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	d := *h
	frozen := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		frozen[i] = freeze(a, h.groups == 0)
		if h.groups == 0 && a.Key == moduleKey {
			d.module = frozen[i].Value.String()
		}
	}
	d.out, d.tap = h.out.WithAttrs(frozen), h.tap.WithAttrs(frozen)
	return &d
}

// WithGroup returns a handler that nests the attributes that follow under the name.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	d := *h
	d.out, d.tap, d.groups = h.out.WithGroup(name), h.tap.WithGroup(name), h.groups+1
	return &d
}

// Dropped returns how many records the output was too slow for since New.
func (h *Handler) Dropped() uint64 { return h.core.lines.total.Load() }

// Lost returns how many records could not be written since New: the output failed.
func (h *Handler) Lost() uint64 { return h.core.out.total.Load() }

// TapDropped returns how many records the tap was too slow for since New.
func (h *Handler) TapDropped() uint64 {
	h.core.mu.Lock()
	defer h.core.mu.Unlock()
	if h.core.taps == nil {
		return 0
	}
	return h.core.taps.total.Load()
}
