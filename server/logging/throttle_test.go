package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Of one text a line goes out each second; the next one says how many were left out.
func TestThrottle(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	now := time.UnixMilli(0)
	th := Throttle{Now: func() time.Time { return now }}
	lines := func() []string {
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		out.Reset()
		return got
	}
	for range 3 {
		th.Log(log, slog.LevelWarn, "refused", "remote", "a")
	}
	th.Log(log, slog.LevelWarn, "another")
	th.Log(log, slog.LevelDebug, "not enabled")
	if got := lines(); len(got) != 2 || strings.Contains(got[0], "leftOut") {
		t.Errorf("in the first second: %q", got)
	}
	now = now.Add(throttlePeriod - 1)
	th.Log(log, slog.LevelWarn, "refused")
	now = now.Add(1)
	th.Log(log, slog.LevelWarn, "refused", "remote", "b")
	got := lines()
	if len(got) != 1 || !strings.HasSuffix(got[0], "msg=refused remote=b leftOut=3") {
		t.Errorf("after it: %q", got)
	}
	for range 5 {
		th.LogFew(3, log, slog.LevelInfo, "changed", "")
	}
	now = now.Add(throttlePeriod)
	th.LogFew(3, log, slog.LevelInfo, "changed", "")
	if got := lines(); len(got) != 4 || !strings.HasSuffix(got[3], "leftOut=2") {
		t.Errorf("of a few: %q", got)
	}
}
