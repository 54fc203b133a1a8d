package door

import "time"

// Bounds that are not configuration: each has a name, a unit and a reason, and stands only here.
const (
	// handshakesMax is how many arrivals may be in their handshake, or on their way out, at once.
	handshakesMax = 4096

	// acceptsMax is how many connections a listener takes before the loop looks at its others.
	acceptsMax = 16

	// parseAlways is how many bytes of a handshake's head are looked at whenever more of them come.
	// A longer one is looked at when it ends, or has doubled.
	parseAlways = 1 << 10

	// acceptBackoffMin and acceptBackoffMax pace a listener that has no descriptor left.
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second

	// refusedBytes and refusedTime bound the reading of what a refused peer still sends, so that
	// its answer is not lost to a reset.
	refusedBytes = 64 << 10
	refusedTime  = time.Second

	// closePatience bounds closing the door. Whoever is in it has refusedTime, unless its loop is
	// busy.
	closePatience = 2 * refusedTime
)
