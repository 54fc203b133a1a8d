package census

import "time"

// Loop is one of a node's loops. Counts are since the start, rates per second over the last whole
// second. Bytes are of memory.limit.
type Loop struct {
	Index                                       int
	Connections                                 int64
	InboxBytes, InboxHeldBytes, InboxLimitBytes int64 // that others sent and it has not received
	ChargedBytes                                int64
	LaggingBytes                                int64 // of these, of connections that are behind
	MaxBacklogBytes                             uint64
	RouteTargets                                int64 // that it remembers for topics

	Turns            uint64
	TurnSeconds      float64       // of all turns together
	TurnP50, TurnP99 float64       // seconds: a bound that so many of all turns keep
	Running          time.Duration // of the turn that runs; 0: none does
	Busy             bool          // its last turn has left work over

	Messages, Sent, Dropped            uint64
	MessageRate, SentRate, DroppedRate uint64
	SlowConnections, UnreadConnections uint64 // sockets that take nothing, that are not read
}
