//go:build race

package codec

// raceEnabled: sync.Pool drops buffers at random under the race detector, so what comes out of a
// pool cannot be counted there.
const raceEnabled = true
