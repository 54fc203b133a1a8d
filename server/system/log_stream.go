package system

import (
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"

	"mbserver/ringbuf"
	"mbserver/server/logging"
)

// logLevels are the levels of the log stream, in rising order; the last is levelError.
var logLevels = []struct {
	name  string
	level slog.Level
}{
	{"debug", slog.LevelDebug}, {"info", slog.LevelInfo},
	{"warn", slog.LevelWarn}, {"error", slog.LevelError},
}

const levelError = 3

// levelSet has a bit for each index of logLevels.
type levelSet uint8

func setOf(level int) levelSet { return 1 << level }

// logLevelIndex returns where in logLevels a level belongs: that of the highest one it reaches.
func logLevelIndex(level slog.Level) int {
	i := len(logLevels) - 1
	for i > 0 && level < logLevels[i].level {
		i--
	}
	return i
}

// LogFilter says which lines a service gets. Immutable.
type LogFilter struct {
	levels levelSet
	regex  *regexp.Regexp // on the message; nil: any
	size   int            // bytes that the expression takes
}

// Charge is what a filter makes the node hold, in bytes. That of none is 0.
func (f *LogFilter) Charge() int {
	if f == nil {
		return 0
	}
	return filterCharge + f.size
}

const filterCharge = 128 // bytes that a filter takes, with its place among the listeners

// defaultLogFilter is what a service gets that asked for no levels,
// or only subscribed to the topic: errors.
var defaultLogFilter = &LogFilter{levels: setOf(levelError)}

func (f *LogFilter) wants(level int, message string) bool {
	return f.levels&setOf(level) != 0 && (f.regex == nil || f.regex.MatchString(message))
}

// LogStream hands the node's log lines to the services that asked for them; S names a service.
// Loops change it; the goroutine of the log's tap reads it, and never waits for them.
type LogStream[S comparable] struct {
	// Immutable once used.
	Logs *logging.Handler // nil: there is no stream
	// Send delivers a whole message to services, in no order; it retains the body that it keeps.
	// The goroutine of the log's tap calls it.
	Send func(to []S, body *ringbuf.Shared)

	// Guarded by mu.
	mu        sync.Mutex
	listeners map[S]*logListener
	observers []*logObserver      // a new one with each change
	wanted    [levelError + 1]int // by level: how many listeners want it
	tapped    int                 // 1 + the lowest level that the log makes lines for; 0: none

	// Atomic.
	targets  atomic.Pointer[[]logTarget[S]] // what they want, for the tap; nil: to be gathered anew
	observed atomic.Pointer[[]*logObserver] // observers, for the tap
}

// logListener is what one service asked for, in either of two ways. With both, its filter decides.
type logListener struct {
	filter    *LogFilter // by system.log.subscribe; nil: not
	following bool       // by system.topic.subscribe
}

// effective is the filter that decides; nil: it gets nothing.
func (li *logListener) effective() *LogFilter {
	if li.filter == nil && li.following {
		return defaultLogFilter
	}
	return li.filter
}

type logTarget[S comparable] struct {
	service S
	filter  *LogFilter
}

// Filter returns the filter of s; nil: none. Any goroutine.
func (g *LogStream[S]) Filter(s S) *LogFilter {
	g.mu.Lock()
	defer g.mu.Unlock()
	if li := g.listeners[s]; li != nil {
		return li.filter
	}
	return nil
}

// SetFilter makes s get the lines that f wants, in place of those before. nil is none. Any
// goroutine.
func (g *LogStream[S]) SetFilter(s S, f *LogFilter) {
	g.change(s, func(li *logListener) { li.filter = f })
}

// Follow begins or ends a subscription of s to the topic itself. Any goroutine.
func (g *LogStream[S]) Follow(s S, on bool) {
	g.change(s, func(li *logListener) { li.following = on })
}

// Leave forgets s: its connection has ended. Any goroutine.
func (g *LogStream[S]) Leave(s S) {
	g.change(s, func(li *logListener) { *li = logListener{} })
}

func (g *LogStream[S]) change(s S, f func(*logListener)) {
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
			g.listeners = make(map[S]*logListener)
		}
		g.listeners[s] = &is
	default:
		*li = is
	}
	g.count(was.effective(), -1)
	g.count(is.effective(), 1)
	g.retune()
}

// count counts one listener more, or less, with a filter. g.mu is held.
func (g *LogStream[S]) count(f *LogFilter, by int) {
	for i := range g.wanted {
		if f != nil && f.levels&setOf(i) != 0 {
			g.wanted[i] += by
		}
	}
}

// retune makes the tap see the listeners of now, and the log make the lines that they want and
// no others. It takes the same time however many there are: a loop calls it. g.mu is held.
func (g *LogStream[S]) retune() {
	g.targets.Store(nil)
	tapped := 0
	for i := range g.wanted {
		if g.wanted[i] > 0 {
			tapped = 1 + i
			break
		}
	}
	if g.Logs == nil || g.tapped == tapped {
		return
	}
	if g.tapped = tapped; tapped == 0 {
		g.Logs.SetTap(0, nil)
		return
	}
	g.Logs.SetTap(logLevels[tapped-1].level, g.Deliver)
}

// gather lists the listeners of now, and what they want.
func (g *LogStream[S]) gather() *[]logTarget[S] {
	g.mu.Lock()
	defer g.mu.Unlock()
	targets := make([]logTarget[S], 0, len(g.listeners))
	for s, li := range g.listeners {
		targets = append(targets, logTarget[S]{s, li.effective()})
	}
	g.targets.Store(&targets)
	return &targets
}

// Stop ends the stream: no loop runs any more.
func (g *LogStream[S]) Stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.listeners)
	g.observers = nil
	g.observed.Store(nil)
	g.wanted = [levelError + 1]int{}
	g.retune()
}

// Listeners returns who may want a line of the level, whatever its text. Any goroutine.
func (g *LogStream[S]) Listeners(level slog.Level) (to []S) {
	return g.who(func(f *LogFilter) bool { return f.levels&setOf(logLevelIndex(level)) != 0 })
}

// Deliver hands a line to every service that wants it; one that says how many were lost to
// everybody who wants any. The goroutine of the log's tap only.
func (g *LogStream[S]) Deliver(line logging.Line) {
	level := logLevelIndex(line.Level)
	g.show(level, &line)
	to := g.who(func(f *LogFilter) bool {
		if line.Lost > 0 {
			return f.levels != 0
		}
		return f.wants(level, line.Message)
	})
	if len(to) == 0 {
		return
	}
	body := ringbuf.NewShared(512 + len(line.Message))
	body.B = appendLogLine(body.B, level, &line)
	g.Send(to, body)
	body.Release()
}

func (g *LogStream[S]) who(wants func(*LogFilter) bool) (to []S) {
	targets := g.targets.Load()
	if targets == nil {
		targets = g.gather() // they have changed since the last line
	}
	for _, t := range *targets {
		if wants(t.filter) {
			to = append(to, t.service)
		}
	}
	return to
}
