package broker

import "mbserver/ringbuf"

// Clock is a loop's idea of time: ms counts from the start of the node and never jumps, unix is the wall's.
type Clock struct{ Ms, Unix int64 }

// Driver is what a loop needs of the world: time, a turn soon, a turn later, and randomness. The reactor implements it over
// gnet; a simulation over nothing.
type Driver interface {
	Now() Clock
	// schedule makes the loop run a turn soon, after the I/O events of the running batch. Any goroutine.
	Schedule()
	// scheduleAt makes the loop run a turn at ms; it replaces the time set before. Loop only.
	ScheduleAt(ms int64)
}

// Socket is what a connection needs of its transport. Loop only.
type Socket interface {
	ringbuf.Writer
	// AwaitWritable arranges for one call of Loop.Writable when the socket takes bytes again.
	AwaitWritable() error
	// pauseReading stops, or starts again, that bytes of the peer are reported.
	PauseReading(paused bool)
	// closeWrite sends the end of the stream and lets the peer's bytes come.
	CloseWrite()
	// close gives the descriptor back. The reactor reports nothing for this socket afterwards.
	Close()
}

// sec is the wall clock in whole seconds.
func (c Clock) sec() int64 { return c.Unix / 1000 }
