package main

import "syscall"

// attributes keep the terminal's signals from a process, and have the kernel end it with the demo,
// whatever ends that.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
