//go:build unix

package main

import (
	"math"

	"golang.org/x/sys/unix"
)

// spareDescriptors is what the node needs beside its connections: listeners, epoll and event
// descriptors, log, files.
const spareDescriptors = 128

// raiseDescriptors sets the soft limit of open files to the hard one and returns it.
func raiseDescriptors() (uint64, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return 0, err
		}
	}
	return min(uint64(limit.Cur), math.MaxInt64), nil
}
