package door

import "time"

// Bounds that are not configuration: each has a name, a unit and a reason, and stands only here.
const (
	// handshakesMax is how many connections may be in the door at once: in their handshake, on
	// their way to a loop, or being told why they may not come in.
	handshakesMax = 4096

	// acceptBackoffMin and acceptBackoffMax pace a listener that has no descriptor left.
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second

	// refusedBytes and refusedTime bound the reading of what a refused peer still sends, so that
	// its answer is not lost to a reset.
	refusedBytes = 64 << 10
	refusedTime  = time.Second
)
