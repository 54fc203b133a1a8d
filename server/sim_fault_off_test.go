//go:build !simfault

package server

func resetFault() {}
