//go:build linux

package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Sched is what the scheduler counts of a process, all its threads together.
type Sched struct {
	Ran    time.Duration // on a processor
	Waited time.Duration // ready to run, for one
	Slices int64         // how often it ran
}

// SchedOf reads that (proc_pid_schedstat(5)).
func SchedOf(pid int) (s Sched) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // The pattern is good.
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // The thread is gone.
		}
		s.Ran += time.Duration(number(b, 0))
		s.Waited += time.Duration(number(b, 1))
		s.Slices += number(b, 2)
	}
	return s
}

// CPU is the process's CPU time in ns, all threads together.
func CPU(pid int) int64 { return int64(SchedOf(pid).Ran) }

// Resident is the process's resident memory in bytes (proc_pid_statm(5)); 0 when it is gone.
func Resident(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	return number(b, 1) * int64(os.Getpagesize())
}

// number is the field of that index in a line of the kernel's; 0 when there is none.
func number(line []byte, index int) int64 {
	fields := bytes.Fields(line)
	if len(fields) <= index {
		return 0
	}
	n, _ := strconv.ParseInt(string(fields[index]), 10, 64) // The kernel writes numbers.
	return n
}
