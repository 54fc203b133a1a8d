//go:build !simfault

package server

// simFault says that this build can break itself on purpose (see fault_on.go). A branch on it costs nothing here.
const simFault = false

func strikes(fault) bool { return false }
