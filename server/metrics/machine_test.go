package metrics

import (
	"regexp"
	"testing"
	"time"
)

func TestBusyTime(t *testing.T) {
	var b busyTime
	for _, row := range []struct {
		to   busyTime
		want float64
	}{
		{busyTime{25, 100}, 0.25}, {busyTime{35, 110}, 1}, {busyTime{35, 120}, 0},
		{busyTime{35, 120}, 0}, {busyTime{30, 130}, 0}, {busyTime{99, 140}, 1},
	} {
		if got := b.advance(row.to); got != row.want {
			t.Errorf("to %v: %v, want %v", row.to, got, row.want)
		}
	}
}

// The machine is read at most once a second, and says something sane the first time.
func TestMachine(t *testing.T) {
	var m Machine
	now := time.Now()
	first := m.Read(now)
	if first.processMemory < 1<<20 || first.systemMemory < first.processMemory ||
		first.systemUptime <= 0 || len(first.Cores) == 0 {
		t.Errorf("first reading: %+v", first)
	}
	for _, c := range first.Cores {
		if c.CPU < 0 || c.CPU > 1 || !regexp.MustCompile(`^\d+$`).MatchString(c.Name) {
			t.Errorf("core %+v", c)
		}
	}
	if again := m.Read(now.Add(machinePeriod - 1)); again.at != now {
		t.Error("read again within a second")
	}
	if later := m.Read(now.Add(machinePeriod)); later.at == now {
		t.Error("not read again after a second")
	}
}
