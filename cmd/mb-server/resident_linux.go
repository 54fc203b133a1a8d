package main

import (
	"fmt"
	"os"
)

// mappedResident is how much of the program's files is in memory, in bytes (proc_pid_statm(5)); 0
// when the system does not tell.
func mappedResident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident, shared int64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
		return 0
	}
	return shared * int64(os.Getpagesize())
}
