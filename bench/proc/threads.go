package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Threads says, in a line for each thread of a process, whether it runs or wants to (R), for how
// many ns it has run and has waited for a processor, and where in the kernel it sleeps (proc(5)):
// one that is starved can be told from one that is stuck. Empty where there is no /proc.
func Threads(pid int) string {
	folders, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid)) // The pattern is good.
	var b strings.Builder
	for _, folder := range folders {
		read := func(name string) []string {
			text, _ := os.ReadFile(filepath.Join(folder, name)) // None: the thread is gone.
			// Behind a name that may be anything.
			_, after, found := strings.Cut(string(text), ") ")
			if !found {
				after = string(text)
			}
			return strings.Fields(after)
		}
		stat, sched := read("stat"), read("schedstat")
		if len(stat) > 0 && len(sched) > 1 {
			fmt.Fprintf(&b, "thread %s: %s, ran %s ns, waited %s ns, in %s\n",
				filepath.Base(folder), stat[0], sched[0], sched[1], read("wchan"))
		}
	}
	return b.String()
}
