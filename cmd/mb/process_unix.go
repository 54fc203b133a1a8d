//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// detach gives the command a process group of its own: an interrupt typed at
// the terminal drains mb and does not end what it is working on. Cancelling
// ends the whole group.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}

// killGroup ends what a cancelled command, which was waited for, left of its group.
func killGroup(cmd *exec.Cmd) {
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // Usually nobody is left.
	}
}
