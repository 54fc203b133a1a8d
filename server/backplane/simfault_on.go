//go:build simfault

package backplane

import "os"

// simfaultBuild says that this build can break itself on purpose: with the tag simfault and the
// environment variable SIM_FAULT, so that a test can hold that the simulation notices.
const simfaultBuild = true

// faultPeriod is how many times all goes well before the chosen fault strikes.
const faultPeriod = 5

var (
	faultChosen = simfault(os.Getenv("SIM_FAULT"))
	faultCount  int // not for more than one goroutine, which a simulation is
)

// strikes says whether f is to happen now.
func strikes(f simfault) bool {
	if f != faultChosen {
		return false
	}
	faultCount++
	return faultCount%faultPeriod == 0
}

// resetFault makes a run depend on nothing before it.
func resetFault() { faultCount = 0 }
