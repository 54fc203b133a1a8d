package reactor

// Bounds that are not configuration: each has a name, a unit and a reason, and stands only here.
const (
	// readMax is how many bytes one read takes from a socket. More makes turns of large messages
	// cheaper (16 KiB to one subscriber: 6500 ns with 64 KiB, 4400 with 128, 3900 with 256), and
	// lets one publisher keep the others of its loop waiting longer.
	readMax = 128 << 10

	// streakMax bounds how many turns may follow one another only because the inbox filled again.
	// gnet runs tasks that tasks queue before it polls; without a bound two loops that keep each
	// other busy never read a socket. A turn that gives way is never followed so.
	streakMax = 4
)
