//go:build !linux

package main

// mappedResident is not known.
func mappedResident() int64 { return 0 }
