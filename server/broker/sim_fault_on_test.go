//go:build simfault

package broker

// resetFault makes a run depend on nothing before it.
func resetFault() { faultCount = 0 }
