package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"mbserver/codec"
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

// fault handles a panic that reached the loop: it is ours. The connection it happened on, if any, is answered and closed.
func (l *loop) fault(c *conn, v any) {
	l.tally[countFault]++
	l.node.noise.log(l.log, slog.LevelError, "internal fault", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if c == nil || c.state != stateOpen {
		return
	}
	defer func() {
		if recover() != nil {
			c.doomNow()
		}
	}()
	l.header = append(l.header[:0], errorHeader...)
	l.answer = appendError(l.answer[:0], codec.InternalError, "internal fault: this connection is closed", l.time.unix)
	l.send(c, l.header, l.answer, true)
	l.closeWS(c, closeInternalError, "internal fault")
}

// debugClientError logs a client's mistake at debug level.
func (l *loop) debugClientError(c *conn, code codec.Code, message string) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("client error", "serviceId", c.id.String(), "code", string(code), "reason", message)
	}
}
