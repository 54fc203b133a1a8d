package server

import (
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/logging"
)

// logTopic is where log lines go (protocol §8).
const logTopic = "system.log"

// logModule is the module of a line that names none.
const logModule = "node"

// logFilter says which lines a service gets. Immutable.
type logFilter struct {
	levels uint8          // a bit for each index of logLevels
	regex  *regexp.Regexp // on the message; nil: any
}

// logLevels are the levels of the log stream, in rising order.
var logLevels = []struct {
	name  string
	level slog.Level
}{{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError}}

// logLevelIndex returns where in logLevels a level belongs: that of the highest one it reaches.
func logLevelIndex(level slog.Level) int {
	i := len(logLevels) - 1
	for i > 0 && level < logLevels[i].level {
		i--
	}
	return i
}

// defaultLogFilter is what a service gets that asked for no levels, or only subscribed to the topic: errors.
var defaultLogFilter = &logFilter{levels: 1 << 3}

func (f *logFilter) wants(level int, message string) bool {
	return f.levels&(1<<level) != 0 && (f.regex == nil || f.regex.MatchString(message))
}

// logStream hands the node's log lines to the services that asked for them. Loops change it; the log's writer goroutine
// reads it, and never waits for them.
type logStream struct {
	logs *logging.Handler // immutable after New; nil: there is no stream

	// Guarded by mu.
	mu        sync.Mutex
	listeners map[*service]*logListener

	// Atomic.
	targets atomic.Pointer[[]logTarget] // what the listeners want, for the writer; immutable
}

// logListener is what one service asked for, in either of two ways. With both, its filter decides.
type logListener struct {
	filter    *logFilter // by system.log.subscribe; nil: not
	following bool       // by system.topic.subscribe
}

type logTarget struct {
	service *service
	filter  *logFilter
}

// setFilter makes s get the lines that f wants, in place of those before. nil ends it.
func (g *logStream) setFilter(s *service, f *logFilter) {
	g.change(s, func(li *logListener) { li.filter = f })
}

// follow begins or ends a subscription of s to the topic itself.
func (g *logStream) follow(s *service, on bool) {
	g.change(s, func(li *logListener) { li.following = on })
}

// leave forgets s: its connection has ended.
func (g *logStream) leave(s *service) {
	g.change(s, func(li *logListener) { *li = logListener{} })
}

func (g *logStream) change(s *service, f func(*logListener)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	li := g.listeners[s]
	was := logListener{}
	if li != nil {
		was = *li
	}
	is := was
	f(&is)
	if is == was {
		return
	}
	switch {
	case is == logListener{}:
		delete(g.listeners, s)
	case li == nil:
		if g.listeners == nil {
			g.listeners = make(map[*service]*logListener)
		}
		g.listeners[s] = &is
	default:
		*li = is
	}
	g.retune()
}

// retune makes the writer see the listeners of now, and the log make the lines that they want and no others. g.mu is
// held.
func (g *logStream) retune() {
	targets := make([]logTarget, 0, len(g.listeners))
	wanted := uint8(0)
	for s, li := range g.listeners {
		f := li.filter
		if f == nil {
			f = defaultLogFilter
		}
		wanted |= f.levels
		targets = append(targets, logTarget{s, f})
	}
	g.targets.Store(&targets)
	if g.logs == nil {
		return
	}
	for i := range logLevels {
		if wanted&(1<<i) != 0 {
			g.logs.SetTap(logLevels[i].level, g.deliver)
			return
		}
	}
	g.logs.SetTap(0, nil)
}

// stop ends the stream: no loop runs any more.
func (g *logStream) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.listeners)
	g.retune()
}

// deliver hands a line to every service that wants it: one envelope for each loop. Log's writer goroutine only.
func (g *logStream) deliver(line logging.Line) {
	level := logLevelIndex(line.Level)
	var groups []remoteGroup
	for _, t := range *g.targets.Load() {
		if t.filter.wants(level, line.Message) {
			groups = addTarget(groups, t.service, deliverDrop)
		}
	}
	if len(groups) == 0 {
		return
	}
	body := ringbuf.NewShared()
	body.B = appendLogLine(body.B, level, &line)
	postGroups(groups, envelope{kind: envelopeLog, unaudited: true, packed: whole(body, true)})
	body.Release()
}

// appendLogLine writes the message that carries a line. Its action is response, as existing consoles expect.
func appendLogLine(b []byte, level int, line *logging.Line) []byte {
	b = append(b, "response:system.log:1.0.0\n{\"level\":\""...)
	b = append(b, logLevels[level].name...)
	b = append(b, `","message":`...)
	b = codec.AppendJSONQuoted(b, line.Message)
	b = append(b, `,"module":`...)
	if line.Module == "" {
		b = append(b, `"`+logModule+`"`...)
	} else {
		b = codec.AppendJSONQuoted(b, line.Module)
	}
	b = append(b, `,"timestamp":"`...)
	b = codec.AppendTimestamp(b, line.Time.UnixMilli())
	b = append(b, '"')
	b = append(b, line.Attrs...)
	return append(b, '}')
}

// receiveLog delivers a line to this loop's targets. A line that is lost is counted and told to its reader like any
// other message, but makes no line of its own.
func (l *loop) receiveLog(e *envelope) {
	l.quiet = true
	defer func() { l.quiet = false }()
	l.receivePublish(e)
}
