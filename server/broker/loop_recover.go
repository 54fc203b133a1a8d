package broker

import (
	"fmt"
	"log/slog"
	"runtime/debug"

	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/trouble"
)

// logFault writes a line about a panic, which is ours, with the stack of who calls. Any goroutine.
func (b *Broker) logFault(log *slog.Logger, v any) {
	b.Throttle.Log(log, slog.LevelError, "internal fault",
		"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
}

// recovered handles a panic that reached the loop: it is ours. The connection it happened on, if
// any, is answered and closed.
func (l *Loop) recovered(c *Conn, v any) {
	l.counts[metrics.Panics]++
	l.ill(trouble.Fault)
	l.broker.logFault(l.log, v)
	if c == nil || c.state != stateOpen {
		return
	}
	defer func() {
		if recover() != nil {
			c.goes("internal fault")
			c.abort()
		}
	}()
	l.counts[metrics.MessageErrors]++
	l.header = append(l.header[:0], codec.ErrorHeader...)
	l.answer = codec.AppendError(l.answer[:0], codec.InternalError,
		"internal fault: this connection is closed", l.time.Unix)
	l.send(c, l.header, l.answer, true)
	l.closeWS(c, codec.CloseInternal, "internal fault")
}

// guard runs f; a panic is a fault of ours: it is logged and counted, costs the connection it
// happened on, and the loop lives.
func (l *Loop) guard(c *Conn, f func()) {
	defer func() {
		if v := recover(); v != nil {
			l.recovered(c, v)
		}
	}()
	f()
}
