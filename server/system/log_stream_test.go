package system

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mbserver/ringbuf"
	"mbserver/server/logging"
)

// The form of a line, and of one of a level that the stream has no name for.
func TestLogLineText(t *testing.T) {
	line := logging.Line{
		Level: slog.LevelError + 4, Time: time.UnixMilli(1), Message: "m", Module: "x",
	}
	want := "response:system.log:1.0.0\n" +
		`{"level":"error","message":"m","module":"x","timestamp":"1970-01-01T00:00:00.001Z"}`
	if got := string(appendLogLine(nil, logLevelIndex(line.Level), &line)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLogLevelIndex(t *testing.T) {
	for level, want := range map[slog.Level]string{
		-100: "debug", -4: "debug", -1: "debug",
		0: "info", 3: "info", 4: "warn", 8: "error", 50: "error",
	} {
		if got := logLevels[logLevelIndex(level)].name; got != want {
			t.Errorf("%d is %s, want %s", level, got, want)
		}
	}
}

// Who wants which lines, and that the log is tapped for nobody's sake when nobody is left.
func TestLogStreamListeners(t *testing.T) {
	logs := logging.New(io.Discard, slog.LevelError, "json")
	defer func() { _ = logs.Close(context.Background()) }()
	var got []string
	g := &LogStream[string]{Logs: logs, Send: func(to []string, body *ringbuf.Shared) {
		slices.Sort(to)
		_, payload, _ := strings.Cut(string(body.B), "\n")
		got = append(got, strings.Join(to, "+")+" "+payload[:17])
	}}
	enabled := func() bool { return logs.Enabled(t.Context(), slog.LevelDebug) }
	g.Follow("follower", true)
	g.SetFilter("filter", &LogFilter{levels: setOf(0) | setOf(levelError)})
	g.SetFilter("both", &LogFilter{levels: setOf(0)})
	g.Follow("both", true)
	if !enabled() {
		t.Error("nobody taps the debug lines that somebody wants")
	}
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelError} {
		g.Deliver(logging.Line{Level: level, Message: "m"})
	}
	// Nobody knows who would have wanted what was lost: whoever wants any line is told.
	g.SetFilter("none", &LogFilter{})
	g.Deliver(logging.Line{Level: slog.LevelWarn, Message: "left out", Lost: 3})
	want := []string{
		`both+filter {"level":"debug",`, `filter+follower {"level":"error",`,
		`both+filter+follower {"level":"warn","`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	g.SetFilter("none", nil)
	g.SetFilter("filter", nil)
	g.SetFilter("both", nil)
	if enabled() || !slices.Contains(g.Listeners(slog.LevelError), "both") {
		t.Error("debug lines are tapped, or a follower is forgotten with its filter")
	}
	g.Leave("both")
	g.Leave("follower")
	to := g.Listeners(slog.LevelError)
	if len(to) != 0 || logs.Enabled(t.Context(), slog.LevelWarn) {
		t.Errorf("%q are left, or the log is tapped for nobody", to)
	}
}

// One reader more or less costs its loop the same however many there are; the list of all is made
// with the next line.
func TestLogStreamOfManyReaders(t *testing.T) {
	told := 0
	g := &LogStream[int]{Send: func(to []int, _ *ringbuf.Shared) { told = len(to) }}
	const readers = 10_000
	for s := range readers {
		g.Follow(s, true)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const changes = 100
	for s := range changes {
		g.Leave(s)
	}
	runtime.ReadMemStats(&after)
	if held := (after.TotalAlloc - before.TotalAlloc) / changes; held > readers {
		t.Errorf("a reader that leaves has %d bytes allocated", held)
	}
	g.Deliver(logging.Line{Level: slog.LevelError, Message: "m"})
	if told != readers-changes {
		t.Errorf("%d are told of %d", told, readers-changes)
	}
}

// An observer sees lines of a level and above beside the services, and the log is tapped no longer
// than somebody looks.
func TestLogStreamObserver(t *testing.T) {
	logs := logging.New(io.Discard, slog.LevelError, "json")
	defer func() { _ = logs.Close(context.Background()) }()
	sent := 0
	g := &LogStream[string]{Logs: logs, Send: func([]string, *ringbuf.Shared) { sent++ }}
	enabled := func(l slog.Level) bool { return logs.Enabled(t.Context(), l) }
	var all, some []string
	stopAll := g.Observe(slog.LevelDebug, func(module string, line []byte) {
		all = append(all, module+" "+string(line))
	})
	stopSome := g.Observe(slog.LevelWarn, func(module string, _ []byte) {
		some = append(some, module)
	})
	if g.Follow("service", true); !enabled(slog.LevelDebug) {
		t.Error("nobody taps the debug lines that somebody wants")
	}
	at := time.UnixMilli(1)
	for _, l := range []logging.Line{
		{Level: slog.LevelDebug, Module: "a"}, {Level: slog.LevelWarn, Module: "b"},
		{Level: slog.LevelError}, {Level: slog.LevelInfo, Module: "c", Lost: 3},
	} {
		l.Time, l.Message = at, "m"
		g.Deliver(l)
	}
	want := `a {"level":"debug","message":"m","module":"a","timestamp":"1970-01-01T00:00:00.001Z"}`
	if len(all) != 4 || all[0] != want {
		t.Errorf("seen: %q", all)
	}
	if strings.Join(some, " ") != "b node c" || sent != 2 {
		t.Errorf("seen: %q, and %d lines were sent", some, sent)
	}
	stopAll()
	stopAll()
	if enabled(slog.LevelDebug) || !enabled(slog.LevelWarn) {
		t.Error("the wrong lines are tapped")
	}
	g.Deliver(logging.Line{Level: slog.LevelWarn, Time: at})
	if len(all) != 4 || len(some) != 4 {
		t.Errorf("seen afterwards: %q, %q", all[4:], some[3:])
	}
	g.Stop()
	stopSome()
	if enabled(slog.LevelWarn) {
		t.Error("the log is tapped for nobody")
	}
}
