package broker

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var simReplay = regexp.MustCompile(`-run (\w+)\$ -sim\.seed=(\d+)`)

// TestSimulationNotices breaks the node on purpose, in one way at a time, and holds that the
// simulation fails, names a seed, and fails in the same way from that seed alone. A node that is
// not broken passes in the same build, which looks at the invariants as one for the race detector
// does, and has time for five hundred seeds.
func TestSimulationNotices(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "simfault.test")
	build := exec.Command("go", "test", "-c", "-tags", "simfault", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building with the tag simfault: %v\n%s", err, out)
	}
	simulate := func(f simfault, run string, flags ...string) ([]byte, error) {
		c := exec.Command(binary, append(flags, "-test.run", "^("+run+")$")...)
		c.Env = append(os.Environ(), "SIM_FAULT="+string(f))
		return c.CombinedOutput()
	}
	const all, permits = "TestSimulation|TestQueueFairness", "TestPermitSimulation"
	if out, err := simulate("", all+"|"+permits, "-sim.seeds=500"); err != nil {
		t.Fatalf("without a fault: %v\n%s", err, tail(out))
	}
	for _, f := range simfaults {
		run := all
		switch f {
		case simSkippedCheck, simStaleRules, simDeafMute, simLeftBehind:
			run = permits
		}
		out, err := simulate(f, run, "-sim.seeds=1000")
		seed := simReplay.FindSubmatch(out)
		if err == nil || seed == nil {
			t.Errorf("%s: not noticed: %v\n%s", f, err, tail(out))
			continue
		}
		wrong := reason(out)
		again, err := simulate(f, string(seed[1]), "-sim.seed="+string(seed[2]))
		if err == nil || reason(again) != wrong {
			t.Errorf("%s: seed %s fails with %q, and then with %q (%v)",
				f, seed[2], wrong, reason(again), err)
			continue
		}
		t.Logf("%s: noticed by %s with seed %s: %s", f, seed[1], seed[2], wrong)
	}
}

// reason is the line in which a simulation says what is wrong: the last one before how to replay
// it.
func reason(out []byte) string {
	before, _, _ := bytes.Cut(out, []byte("replay with:"))
	lines := strings.Split(strings.TrimSpace(string(before)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

func tail(out []byte) []byte { return out[max(0, len(out)-2000):] }
