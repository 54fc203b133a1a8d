package server

import "time"

// sample is the node's numbers at one moment.
type sample struct {
	at            time.Time
	totals, rates tally // of all loops; the maximum's rate has no meaning

	connected, disconnected, failed, rejected countAndRate

	active, outstanding, queued int64
	charged, paused             int64
	shed                        uint64
	services, subscriptions     int
	logDropped                  uint64
	machine                     machineSample
}

type countAndRate struct{ total, rate uint64 }
