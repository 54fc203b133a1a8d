package admin

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"mbserver/server/permit"
	"mbserver/server/watch"
)

// Bounds of a stream of log lines.
const (
	logWaiting = 256 // lines that wait for its client
	logRate    = 200 // lines a second
	logModules = 32  // that may be named
)

// logFeed takes lines for one client.
type logFeed struct {
	// Immutable.
	modules []string // nil: all
	lines   chan []byte
	pace    *watch.Pace
	began   time.Time

	// Atomic.
	missed atomic.Uint64 // lines for which there was no room, or which were too many a second
}

// see takes a line. The goroutine of the log's tap only.
func (f *logFeed) see(module string, line []byte) {
	if !f.wants(module) {
		return
	}
	if !f.pace.Take(int64(time.Since(f.began))) {
		f.missed.Add(1)
		return
	}
	select {
	case f.lines <- slices.Clone(line):
	default:
		f.missed.Add(1)
	}
}

func (f *logFeed) wants(module string) bool {
	return f.modules == nil || slices.Contains(f.modules, module)
}

// serveLogStream shows the lines of the log as they are written; with past, those before them that
// the node still has.
func (s *Server) serveLogStream(w http.ResponseWriter, r *http.Request, v *viewer) {
	query := r.URL.Query()
	level := slog.LevelInfo
	if text := query.Get("level"); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil || !slices.Contains(
			[]string{"debug", "info", "warn", "error"}, strings.ToLower(text)) {
			answerError(w, http.StatusBadRequest, invalid,
				"level: must be debug, info, warn or error", "field", "level")
			return
		}
	}
	f := &logFeed{
		lines: make(chan []byte, logWaiting), pace: watch.NewPace(logRate, logRate),
		began: time.Now(),
	}
	if text := query.Get("module"); text != "" {
		if f.modules = strings.Split(text, ","); len(f.modules) > logModules {
			answerError(w, http.StatusBadRequest, invalid, "module: there are too many",
				"field", "module", "limit", logModules)
			return
		}
	}
	past := query.Get("past")
	if !slices.Contains([]string{"", "true", "false"}, past) {
		answerError(w, http.StatusBadRequest, invalid, "past: must be true or false",
			"field", "past")
		return
	}
	st := s.openStream(w, r, v, permit.Log, false)
	if st == nil {
		return
	}
	defer st.close()
	defer s.source.ObserveLog(level, f.see)()
	show := func(line []byte) {
		st.begin("log")
		st.buffer = append(st.buffer, line...)
		st.finish()
	}
	before := make(map[string]bool) // lines that were shown, and may come once more
	if past == "true" {
		s.source.PastLog(level, func(module string, line []byte) {
			if f.wants(module) {
				show(line)
				before[string(line)] = true
			}
		})
	}
	told := uint64(0)
	run(st, f.lines, func(line []byte) {
		if len(before) > 0 {
			if before[string(line)] {
				return
			}
			clear(before) // what is new comes behind what may come again
		}
		show(line)
	}, func(time.Time) {
		if missed := f.missed.Load(); missed != told {
			told = missed
			st.event("count", struct {
				Missed uint64 `json:"missed"`
			}{missed})
		}
	})
}
