//go:build !unix

package main

import "os/exec"

// detach leaves the command as it is: there are no process groups here.
func detach(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}
