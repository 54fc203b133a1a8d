//go:build !linux

package main

import "syscall"

// attributes keep the terminal's signals from a process.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
