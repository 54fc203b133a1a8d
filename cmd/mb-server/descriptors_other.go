//go:build !unix

package main

import "math"

// spareDescriptors is of no consequence where open files have no limit.
const spareDescriptors = 0

// raiseDescriptors has nothing to raise here.
func raiseDescriptors() (uint64, error) { return math.MaxInt64, nil }
