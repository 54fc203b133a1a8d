//go:build race

package broker

// raceEnabled: sync.Pool drops buffers at random under the race detector, so what comes out of a
// pool cannot be counted there.
const raceEnabled = true

// seedsHere is how many seeds a simulation runs unless told otherwise. One goroutine is all it has,
// so that the race detector finds little in it, and makes it ten times slower: a hundred seeds show
// every event. TestSimulationNotices runs five hundred without it, and with the same invariants.
const seedsHere = 100
