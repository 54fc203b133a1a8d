package main

import "runtime/debug"

// The garbage collector is told how much memory there is, so that it works in time.

// collectorPercent is how much the heap may grow, in percent of what lives, before it is collected.
// Messages allocate nothing, so collections are rare, and what lives is mostly connections: a
// quarter keeps the resident memory near it.
const collectorPercent = 25

// tuneCollector sets that, unless the operator's GOGC says otherwise. It comes after the start,
// which a collection would delay.
func tuneCollector(environ []string) {
	if !isSet(environ, "GOGC") {
		debug.SetGCPercent(collectorPercent)
	}
}

// limitCollector has the collector keep the process within memory.limit.
func limitCollector(limit int64) {
	debug.SetMemoryLimit(collectorLimit(limit, mappedResident()))
}

// collectorLimit is what of memory.limit the runtime may have, all in bytes: not what the program's
// own pages take, which it does not count, nor a part for its being late. Where the limit is hardly
// more than that, half of it: a collector that cannot keep to its limit only takes time.
func collectorLimit(limit, mapped int64) int64 {
	mapped += mapped / 8 // those that have not been touched at the start
	return max(min(limit/8*7, limit/16*15-mapped), limit/2)
}
