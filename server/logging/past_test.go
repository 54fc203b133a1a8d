package logging

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
)

// The last lines that were written are shown in their order, with what they were logged with; a
// crowd of one module's pushes out none of another's. What is below the output's level is no line.
func TestPast(t *testing.T) {
	h := New(new(bytes.Buffer), slog.LevelInfo, "json")
	log := slog.New(h)
	log.Info("first", moduleKey, "door", "k", 1)
	crowd := log.With(moduleKey, "connection")
	const many = 3*pastMost/2 + 1
	for i := range many {
		crowd.Info(fmt.Sprint(i))
		log.Debug("unseen")
	}
	log.WithGroup("g").Warn("last", "v", "x")
	for i := range 2 * pastModules {
		log.Info("module", moduleKey, fmt.Sprint("m", i))
	}
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	counts := map[string]int{}
	h.Past(func(l Line) {
		counts[l.Module]++
		got = append(got, l.Level.String()+" "+l.Message+string(l.Attrs))
	})
	if counts["connection"] != pastMost || len(got) != pastMost+2+2*pastModules ||
		got[0] != `INFO first,"k":1` || got[1] != fmt.Sprint("INFO ", many-pastMost) ||
		got[pastMost] != fmt.Sprint("INFO ", many-1) ||
		got[pastMost+1] != `WARN last,"g":{"v":"x"}` {
		t.Errorf("%d of the crowd, %d: %q … %q", counts["connection"], len(got), got[:2],
			got[pastMost:pastMost+2])
	}
}
