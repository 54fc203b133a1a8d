//go:build !simfault

package backplane

// simfaultBuild says that this build can break itself on purpose (see simfault_on.go). A branch on
// it costs nothing here.
const simfaultBuild = false

func strikes(simfault) bool { return false }

func resetFault() {}
