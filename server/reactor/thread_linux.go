package reactor

import "golang.org/x/sys/unix"

// threadID names the calling thread to the operating system.
func threadID() int { return unix.Gettid() }
