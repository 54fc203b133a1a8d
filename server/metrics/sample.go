package metrics

import "time"

// Sample is the node's numbers at one moment.
type Sample struct {
	At            time.Time
	Totals, Rates Counts // of all loops
	Times         TimesSample

	Connected, Disconnected, Failed, Rejected TotalAndRate

	Active, Outstanding, Queued int64
	Charged, Paused             int64
	Arriving                    int64 // in the door: in their handshake, or being refused
	Owing, Filling              int64 // connections not read: for their answers, for an inbox
	Draining                    bool
	Going                       int64 // open connections that were told to go
	Cut                         int64 // those that the end of the node took something from
	Shed, Stalled               uint64
	Watches                     int    // operators' looks at messages as they pass
	Snapshots                   uint64 // lists composed for those who asked
	Services, Subscriptions     int
	RouteTargets                int64  // whom remembered routes lead to
	LogDropped, LogLost         uint64 // the output was too slow, or failed
	LogUnread                   uint64
	Deflate                     DeflateSample
	Machine                     MachineSample
	TLS                         TLSSample
	Admission                   AdmissionSample
	AuthFailures                uint64
	Refused                     []LabelledValue // Rejected, by reason
	Loops                       int
	Limits                      Limits
	Cluster                     Cluster
}

// Limits are bounds of the configuration as they are in force.
type Limits struct {
	Connections, Outstanding int64
	Memory                   int64 // bytes
}
