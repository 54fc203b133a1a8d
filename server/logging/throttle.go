package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Throttle keeps events that clients can cause at will from flooding the log: per message text one
// line a second, with the number of those that were left out. Any goroutine.
type Throttle struct {
	Now func() time.Time // immutable; nil means time.Now

	// Guarded by mu.
	mu   sync.Mutex
	last map[string]*throttled
}

type throttled struct {
	at      time.Time
	skipped int
}

// throttlePeriod is the least time between two lines with the same text.
const throttlePeriod = time.Second

// Log writes the line unless one with the same message was written within the period. message must
// be a constant: the table holds one entry for each.
func (t *Throttle) Log(to *slog.Logger, level slog.Level, message string, attrs ...any) {
	if !to.Enabled(context.Background(), level) {
		return
	}
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	at := now()
	t.mu.Lock()
	if t.last == nil {
		t.last = make(map[string]*throttled)
	}
	line := t.last[message]
	if line == nil {
		line = &throttled{}
		t.last[message] = line
	}
	if at.Sub(line.at) < throttlePeriod {
		line.skipped++
		t.mu.Unlock()
		return
	}
	skipped := line.skipped
	line.at, line.skipped = at, 0
	t.mu.Unlock()
	if skipped > 0 {
		attrs = append(attrs, "leftOut", skipped)
	}
	to.Log(context.Background(), level, message, attrs...)
}
