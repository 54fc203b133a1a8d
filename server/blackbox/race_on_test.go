//go:build race

package blackbox

// raceEnabled says whether this test binary was built with the race detector; the server under test
// is then built with it too.
const raceEnabled = true
