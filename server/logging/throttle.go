package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Throttle keeps events that clients can cause at will from flooding the log: per message text one
// line a second, or a few, with the number of those that were left out. Any goroutine.
type Throttle struct {
	Now func() time.Time // immutable; nil means time.Now

	// Guarded by mu.
	mu   sync.Mutex
	last map[string]*throttled
}

type throttled struct {
	since   time.Time // the period's first line
	lines   int       // in the period
	skipped int       // and not written
}

// throttlePeriod is what "a second" is: it begins with a line.
const throttlePeriod = time.Second

// Log writes the line unless one with the same message was written within the period. message must
// be a constant: the table holds one entry for each.
func (t *Throttle) Log(to *slog.Logger, level slog.Level, message string, attrs ...any) {
	t.LogFew(1, to, level, message, "", attrs...)
}

// LogAbout is Log for a line that says in its message whom it is about, behind a colon. Which lines
// are alike is said by message alone.
func (t *Throttle) LogAbout(
	to *slog.Logger, level slog.Level, message, subject string, attrs ...any,
) {
	t.LogFew(1, to, level, message, subject, attrs...)
}

// LogFew is LogAbout for events of which up to most are written within the period.
func (t *Throttle) LogFew(
	most int, to *slog.Logger, level slog.Level, message, subject string, attrs ...any,
) {
	if !to.Enabled(context.Background(), level) {
		return
	}
	skipped, ok := t.pass(most, message)
	if !ok {
		return
	}
	if skipped > 0 {
		attrs = append(attrs, "leftOut", skipped)
	}
	if subject != "" {
		message += ": " + subject
	}
	to.Log(context.Background(), level, message, attrs...)
}

// pass says whether one more line with a message may be written, and how many were not since the
// last one.
func (t *Throttle) pass(most int, message string) (skipped int, ok bool) {
	now := time.Now
	if t.Now != nil {
		now = t.Now
	}
	at := now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = make(map[string]*throttled)
	}
	line := t.last[message]
	if line == nil {
		line = &throttled{}
		t.last[message] = line
	}
	if at.Sub(line.since) >= throttlePeriod {
		line.since, line.lines = at, 0
	}
	if line.lines >= most {
		line.skipped++
		return 0, false
	}
	line.lines++
	skipped, line.skipped = line.skipped, 0
	return skipped, true
}
