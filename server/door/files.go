package door

import (
	"os"

	"golang.org/x/sys/unix"
)

// filesMax is how many files the process may have open.
func filesMax() int {
	const unlimited = 1 << 30
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return unlimited
	}
	return int(min(limit.Cur, unlimited))
}

// filesOpen is how many it has, or what it has at least where the system does not tell.
func filesOpen() int {
	const atLeast = 16
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return atLeast
	}
	return len(entries)
}

// shortage says that an error comes from the want of descriptors, or of memory for one.
func shortage(err error) bool {
	switch err {
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		return true
	}
	return false
}
