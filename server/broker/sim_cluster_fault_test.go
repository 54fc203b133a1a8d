package broker

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// crossFaults are the ways in which nodes of a cluster can be broken: those of server/backplane,
// and those of this package that only several nodes show.
var crossFaults = []simfault{
	"lost-delta", "forgotten-want", "taken-twice", "hasty-answer", "withheld-count",
	"forgotten-hole", "wrong-receipt", "lost-receipts", "kept-want", "hasty-end",
	"kept-interest", "hasty-rival", simUntoldMiss, simLateExpiry, simUnmadeOrder,
}

// TestClusterSimulationNotices is TestSimulationNotices for the simulation of a cluster.
func TestClusterSimulationNotices(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "simfault.test")
	build := exec.Command("go", "test", "-c", "-tags", "simfault", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building with the tag simfault: %v\n%s", err, out)
	}
	simulate := func(f simfault, flag string) ([]byte, error) {
		c := exec.Command(binary, "-test.run", "^TestClusterSimulation$", flag)
		c.Env = append(os.Environ(), "SIM_FAULT="+string(f))
		return c.CombinedOutput()
	}
	if out, err := simulate("", "-sim.cluster.seeds=20"); err != nil {
		t.Fatalf("without a fault: %v\n%s", err, tail(out))
	}
	for _, f := range crossFaults {
		out, err := simulate(f, "-sim.cluster.seeds=400")
		seed := simReplay.FindSubmatch(out)
		if err == nil || seed == nil {
			t.Errorf("%s: not noticed: %v\n%s", f, err, tail(out))
			continue
		}
		again, err := simulate(f, "-sim.seed="+string(seed[2]))
		if wrong := reason(out); err == nil || reason(again) != wrong {
			t.Errorf("%s: seed %s fails with %q, and then with %q (%v)",
				f, seed[2], wrong, reason(again), err)
		} else {
			t.Logf("%s: noticed with seed %s: %s", f, seed[2], wrong)
		}
	}
}
