package admin

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"mbserver/server/metrics"
	"mbserver/server/permit"
	"mbserver/server/watch"
)

// Source is what streams and the history show of a node. Any goroutine.
type Source interface {
	// Glance gathers the node's numbers, but for those of the machine.
	Glance(now time.Time) *metrics.Sample
	// Works gives a token when the node has worked since the last was taken.
	Works() <-chan struct{}
	// Watch begins a look at messages as they pass, until stop is called.
	Watch(o watch.Options) (w *watch.Watch, stop func())
	// ObserveLog has see called for each line of the log of level least and above, as the JSON that
	// services get, until stop is called. see must not wait, and keeps nothing of the line.
	ObserveLog(least slog.Level, see func(module string, line []byte)) (stop func())
	// PastLog is ObserveLog for the lines that were written last.
	PastLog(least slog.Level, see func(module string, line []byte))
}

// Bounds of streams.
const (
	streamsMost = 16 // at a time, of all kinds
	watchesMost = 4  // of these, those that look at messages: each costs something for each message

	streamTick  = time.Second            // between two looks at what goes on
	streamAlive = 15                     // ticks without an event: a comment shows that it lives
	streamWrite = 5 * time.Second        // what a client may take to make room
	streamEnd   = 200 * time.Millisecond // the same when the node ends
	streamRetry = 2 * time.Second        // after which a browser comes back
	streamBatch = 64 << 10               // bytes that are gathered before they are written
)

var streamRows = []pageRow{
	{"/history", "the node's numbers in the last 15 minutes"},
	{"/stream/metrics", "the same as they come (server-sent events)"},
	{"/stream/messages", "messages of ?topic=PATTERN as they pass"},
	{"/stream/logs", "the log as it is written"},
}

// routeStreams says who answers what of that.
func (s *Server) routeStreams(mux *http.ServeMux) {
	mux.HandleFunc("GET /history", s.seen(permit.Metrics, taking(s.serveHistory, "since")))
	mux.HandleFunc("GET /stream/metrics",
		s.seen(permit.Metrics, taking(s.serveMetricsStream, "every")))
	mux.HandleFunc("GET /stream/messages", s.seen(permit.TopicList,
		taking(s.serveMessageStream, "topic", "action", "rate", "bytes")))
	mux.HandleFunc("GET /stream/logs",
		s.seen(permit.Log, taking(s.serveLogStream, "level", "module", "past")))
}

// streams are those that are open. Any goroutine.
type streams struct {
	// Immutable after init.
	quit  chan struct{} // closed when the node ends
	tick  time.Duration // streamTick
	write time.Duration // streamWrite

	// Guarded by mu.
	mu      sync.Mutex
	open    map[*stream]struct{}
	watches int // of those, those that look at messages
	over    bool

	all sync.WaitGroup // open ones; nobody enters when over
}

func (s *streams) init(o *Options) {
	s.quit, s.open = make(chan struct{}), make(map[*stream]struct{})
	s.tick, s.write = cmp.Or(o.tick, streamTick), cmp.Or(o.write, streamWrite)
}

// enter gives st a place, unless there is none.
func (s *streams) enter(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || len(s.open) >= streamsMost || st.watches && s.watches >= watchesMost {
		return false
	}
	s.open[st] = struct{}{}
	if st.watches {
		s.watches++
	}
	s.all.Add(1)
	return true
}

// leave gives the place of st back.
func (s *streams) leave(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, st)
	if st.watches {
		s.watches--
	}
	s.all.Done()
}

// recheck has each stream look again at what its client may see.
func (s *streams) recheck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.open {
		select {
		case st.woken <- struct{}{}:
		default: // it will, anyway
		}
	}
}

// end tells each client that the node ends, for good. Who does not read is not waited for.
func (s *streams) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	close(s.quit)
	for st := range s.open {
		_ = st.control.SetWriteDeadline(time.Now().Add(streamEnd))
	}
}

// wait returns when none is left, or ctx has ended.
func (s *streams) wait(ctx context.Context) {
	none := make(chan struct{})
	go func() {
		s.all.Wait()
		close(none)
	}()
	select {
	case <-none:
	case <-ctx.Done():
	}
}
