//go:build simfault

package server

// resetFault makes a run depend on nothing before it.
func resetFault() { faultCount = 0 }
