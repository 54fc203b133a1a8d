package logging

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
)

// frozen is a value rendered on the caller's goroutine, in the form of each output.
type frozen struct {
	json []byte
	text string
}

func (f frozen) MarshalJSON() ([]byte, error) { return f.json, nil }
func (f frozen) MarshalText() ([]byte, error) { return []byte(f.text), nil }

// freeze returns an attribute that no longer refers to anything its caller may change. At the top
// level a key that the line itself uses gets a trailing underscore, so that no line has a key
// twice.
func freeze(a slog.Attr, top bool) slog.Attr {
	if top {
		switch a.Key {
		case slog.TimeKey, slog.LevelKey, slog.MessageKey, "message", "timestamp":
			a.Key += "_"
		}
	}
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindAny:
		a.Value = freezeAny(a.Value.Any())
	case slog.KindGroup:
		members := a.Value.Group()
		inner := make([]slog.Attr, len(members))
		for i, m := range members {
			inner[i] = freeze(m, top && a.Key == "") // a group without a name is part of its parent
		}
		a.Value = slog.GroupValue(inner...)
	}
	return a
}

// freezeAny renders a value of any type; one that panics or does not marshal is shown as a fault,
// not lost.
func freezeAny(v any) (out slog.Value) {
	defer func() {
		if p := recover(); p != nil {
			out = slog.StringValue(fmt.Sprintf("!PANIC: %v", p))
		}
	}()
	switch v := v.(type) {
	case nil:
		return slog.AnyValue(nil)
	case json.Marshaler:
	case error:
		return slog.StringValue(v.Error())
	case encoding.TextMarshaler:
	case fmt.Stringer:
		return slog.StringValue(v.String())
	}
	f := frozen{text: fmt.Sprintf("%+v", v)}
	if m, ok := v.(encoding.TextMarshaler); ok {
		if text, err := m.MarshalText(); err == nil {
			f.text = string(text)
		}
	}
	var err error
	if f.json, err = json.Marshal(v); err != nil {
		return slog.StringValue("!ERROR: " + err.Error())
	}
	return slog.AnyValue(f)
}
