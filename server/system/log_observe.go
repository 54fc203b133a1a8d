package system

import (
	"log/slog"
	"slices"
	"sync"

	"mbserver/server/logging"
)

// logObserver is somebody in the node itself who sees its log: no service.
type logObserver struct {
	filter *LogFilter
	see    func(module string, line []byte)
}

// Observe has see called for each line of level least and above, and for those that say how many
// were lost, until stop is called; a call may be under way then. line is the payload of the message
// that services get, valid until see returns. see runs on the goroutine of the log's tap, and must
// not wait. Any goroutine.
func (g *LogStream[S]) Observe(
	least slog.Level, see func(module string, line []byte),
) (stop func()) {
	o := &logObserver{filter: new(LogFilter), see: see}
	for i := range logLevels {
		if logLevels[i].level >= least {
			o.filter.levels |= setOf(i)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.observe(append(slices.Clone(g.observers), o))
	g.count(o.filter, 1)
	g.retune()
	return sync.OnceFunc(func() { g.leave(o) })
}

// Past has see called for the lines of level least and above that were written last, in their
// order, as Observe has it called. Any goroutine.
func (g *LogStream[S]) Past(least slog.Level, see func(module string, line []byte)) {
	if g.Logs == nil {
		return
	}
	g.Logs.Past(func(line logging.Line) {
		if line.Level >= least {
			see(moduleOf(&line), appendLogPayload(nil, logLevelIndex(line.Level), &line))
		}
	})
}

// leave ends what Observe began.
func (g *LogStream[S]) leave(o *logObserver) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.observers, o); i >= 0 { // the stream has not ended before
		g.observe(slices.Delete(slices.Clone(g.observers), i, i+1))
		g.count(o.filter, -1)
		g.retune()
	}
}

// observe makes the tap see other observers. g.mu is held.
func (g *LogStream[S]) observe(all []*logObserver) {
	g.observers = all
	g.observed.Store(&all)
}

// show lets the observers see a line. The goroutine of the log's tap only.
func (g *LogStream[S]) show(level int, line *logging.Line) {
	all := g.observed.Load()
	if all == nil {
		return
	}
	var payload []byte
	for _, o := range *all {
		if line.Lost == 0 && !o.filter.wants(level, line.Message) {
			continue
		}
		if payload == nil {
			payload = appendLogPayload(nil, level, line)
		}
		o.see(moduleOf(line), payload)
	}
}

// moduleOf is what a line's module is called.
func moduleOf(line *logging.Line) string {
	if line.Module == "" {
		return logModule
	}
	return line.Module
}
