//go:build !race && !simfault

package broker

// invariants: see invariants.go. A branch on it costs nothing here.
const invariants = false

func (l *Loop) checkInvariants() {}
