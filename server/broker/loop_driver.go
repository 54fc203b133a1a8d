package broker

import "mbserver/ringbuf"

// Clock is a loop's idea of time: Ms and Ns count from the start of the node and never jump, in
// milliseconds and nanoseconds; Unix is the wall's, in milliseconds.
type Clock struct{ Ms, Ns, Unix int64 }

// Driver is what a loop needs of the world: time, a turn soon, a turn later. The reactor implements
// it over gnet; a simulation over nothing.
type Driver interface {
	// Now reads the clock, which all loops of a node share. Any goroutine.
	Now() Clock
	// Schedule makes the loop run a turn soon, after the I/O events of the running batch; during a
	// turn, after another look at the sockets if the loop GivesWay. Any goroutine.
	Schedule()
	// ScheduleAt makes the loop run a turn at ms; it replaces the time set before. Loop only.
	ScheduleAt(ms int64)
}

// Socket is what a connection needs of its transport. Loop only.
type Socket interface {
	ringbuf.Writer
	// Read returns what has arrived, valid until anything else is read on the loop; nil when
	// nothing has, or the peer has ended the stream.
	Read() []byte
	// AwaitWritable arranges for one call of Loop.Writable when the socket takes bytes again.
	AwaitWritable() error
	// PauseReading stops, or starts again, that bytes of the peer are reported.
	PauseReading(paused bool)
	// Unacked is how many written bytes the peer's system has not acknowledged; 0 where that is
	// not known.
	Unacked() int
	// Held is how many bytes of memory it keeps for this connection beyond what every one costs:
	// what it has taken and could not write yet.
	Held() int
	// CloseWrite sends the end of the stream and lets the peer's bytes come.
	CloseWrite()
	// Close gives the descriptor back. The reactor reports nothing for this socket afterwards.
	Close()
}

// sec is the wall clock in whole seconds.
func (c Clock) sec() int64 { return c.Unix / 1000 }
