package reactor

// Bounds that are not configuration: each has a name, a unit and a reason, and stands only here.
const (
	// readMax is how many bytes one read takes from a socket. More makes turns of large messages
	// cheaper (16 KiB to one subscriber: 6500 ns with 64 KiB, 4400 with 128, 3900 with 256), and
	// lets one publisher keep the others of its loop waiting longer.
	readMax = 128 << 10

	// sealMax is how many bytes are sealed at a time, in records of 16 KiB, when the kernel has
	// taken all that was sealed before: what it does not take waits beside the ring. recordMax is
	// what the records of as many bytes are longer, or what is left of one read.
	sealMax   = 64 << 10
	recordMax = 17 << 10

	// opensMax is how many reads of a socket over TLS may bring nothing, such as parts of records,
	// before it is left for the next event.
	opensMax = 4

	// nudgesMax is how many nudges are taken at once.
	nudgesMax = 64

	// streakMax bounds how many turns may follow one another only because the inbox filled again.
	// gnet runs tasks that tasks queue before it polls; without a bound two loops that keep each
	// other busy never read a socket. A turn that gives way is never followed so.
	streakMax = 4
)
