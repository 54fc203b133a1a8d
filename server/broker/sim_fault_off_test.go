//go:build !simfault

package broker

func resetFault() {}
