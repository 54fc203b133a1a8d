//go:build linux

package bench

import (
	"os/exec"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"
)

// A server has the processors it is given, not those that the harness has pinned itself to.
func TestLaunchCPUs(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	first := 0
	for !all.IsSet(first) {
		first++
	}
	allowed := regexp.MustCompile(`Cpus_allowed:.*`)
	run := func(cpus unix.CPUSet) string {
		t.Helper()
		p, err := launch(exec.Command("cat", "/proc/self/status"), cpus, 1)
		if err != nil {
			t.Fatal(err)
		}
		<-p.exited
		return allowed.FindString(p.said.b.String())
	}
	whole, one := run(all), run(only(first))
	undo, err := pinSelf(first)
	if err != nil {
		t.Fatal(err)
	}
	defer undo()
	if got := run(all); got != whole || got == "" {
		t.Errorf("not pinned: %q, want %q", got, whole)
	}
	if got := run(only(first)); got != one || all.Count() > 1 && got == whole {
		t.Errorf("pinned: %q, want %q", got, one)
	}
}

// A server has the GOMAXPROCS of the run, whatever the harness has.
func TestLaunchProcs(t *testing.T) {
	t.Setenv("GOMAXPROCS", "7")
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	p, err := launch(exec.Command("sh", "-c", "echo $GOMAXPROCS"), all, 3)
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if got := p.said.b.String(); got != "3\n" {
		t.Errorf("GOMAXPROCS %q", got)
	}
}
