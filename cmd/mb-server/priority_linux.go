package main

import (
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// besideNice is the niceness (setpriority(2)) of all threads but the loops', on top of the process'
// own: where they want the same processor, such a thread gets a third of what a loop gets. The
// collector, lists for consoles and the log are work beside the loops; alike, they make a loop on a
// busy machine wait twice as long as it runs.
const besideNice = 5

// yieldTo has all threads of this process but these, and those that come of them, run behind these.
// Nobody needs a right to step back.
func yieldTo(loops []int) {
	if len(loops) == 0 {
		return
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return
	}
	// The call returns 20 minus the niceness.
	nice := 20 - own + besideNice
	for _, task := range tasks {
		if id, err := strconv.Atoi(task.Name()); err == nil && !slices.Contains(loops, id) {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, nice) // It may have ended.
		}
	}
}
