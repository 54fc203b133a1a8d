package server

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// noise keeps events that clients can cause at will from flooding the log: per message text one line a second, with the
// number of those that were left out. Any goroutine.
type noise struct {
	now func() time.Time // immutable; nil means time.Now

	// Guarded by mu.
	mu   sync.Mutex
	last map[string]*noisyLine
}

type noisyLine struct {
	at      time.Time
	skipped int
}

// noisePeriod is the least time between two lines with the same text.
const noisePeriod = time.Second

// log writes the line unless one with the same message was written within the period. message must be a constant: the
// table holds one entry for each.
func (n *noise) log(to *slog.Logger, level slog.Level, message string, attrs ...any) {
	if !to.Enabled(context.Background(), level) {
		return
	}
	now := time.Now
	if n.now != nil {
		now = n.now
	}
	at := now()
	n.mu.Lock()
	if n.last == nil {
		n.last = make(map[string]*noisyLine)
	}
	line := n.last[message]
	if line == nil {
		line = &noisyLine{}
		n.last[message] = line
	}
	if at.Sub(line.at) < noisePeriod {
		line.skipped++
		n.mu.Unlock()
		return
	}
	skipped := line.skipped
	line.at, line.skipped = at, 0
	n.mu.Unlock()
	if skipped > 0 {
		attrs = append(attrs, "leftOut", skipped)
	}
	to.Log(context.Background(), level, message, attrs...)
}
