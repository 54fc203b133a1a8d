//go:build !linux

// Package proc reads what the kernel knows of a process under measurement. Linux only.
package proc
