package door

import (
	"runtime"
	"time"
)

// Bounds that are not configuration: each has a name, a unit and a reason, and stands only here.
const (
	// visitorsMax is how many arrivals may be in the door at once: in their handshake, or hearing
	// why they may not enter. Where files or memory are scarce they are fewer: a share of each
	// (1/visitorFiles, 1/visitorMemory).
	visitorsMax   = 4096
	visitorFiles  = 4
	visitorMemory = 16

	// proxyWait is how long who may begin with a PROXY header, and would otherwise wait for its
	// welcome, is waited for. A balancer sends the header at once: this is time for it to be lost
	// and sent again.
	proxyWait = 500 * time.Millisecond

	// addressShare is which part (1/n) of the handshakes may be those of one address. A trusted
	// balancer has no share: who comes through it has.
	addressShare = 4

	// visitorCharge is what a visitor costs in bytes, beside what it has sent; visitorMost is what
	// it costs at most: a head of codec.MaxHandshake, in a slice that has grown to it.
	visitorCharge = 1 << 10
	visitorMost   = 12 << 10

	// handshakeCharge is what a TLS handshake costs in bytes while it stands, its state and the
	// stack of a goroutine: measured, 22 KiB. fedCharge is what it costs for each byte that has
	// come: where crypto/tls assembles messages, and what it makes of them.
	handshakeCharge = 24 << 10
	fedCharge       = 3

	// visitRead is how many bytes are read at once of a visitor.
	visitRead = 16 << 10

	// spareFiles is how many descriptors are left for others than clients: the admin listener's
	// connections, files that are read.
	spareFiles = 8

	// fileMemory bounds the kernel's table of descriptors, which costs some 8 bytes for each: there
	// is room for one for so many bytes of memory.limit. A connection is charged as much (broker's
	// connectionCharge), so there are not more of them.
	fileMemory = 1 << 10

	// sweepMost is how many visits are ended at a time, some ten microseconds each, and sweepRest
	// for how long the loop does other things before it goes on.
	sweepMost = 64
	sweepRest = time.Millisecond

	// acceptsMax is how many connections a listener takes before the loop looks at its others;
	// entersMax how many other loops let in that they were handed; handedMost how many one may have
	// been handed; handedLook when it is looked whether it has taken them in.
	acceptsMax = 16
	entersMax  = 16
	handedMost = 64
	handedLook = time.Millisecond

	// pauseMost is for how long nobody comes in at the most because a loop is pressed, busyMost
	// because one has work left over; pauseLook when it is looked again whether one is pressed.
	pauseMost = 250 * time.Millisecond
	busyMost  = 5 * time.Millisecond
	pauseLook = 5 * time.Millisecond

	// admissionWait is how long an arrival over admission.rate waits at the most (protocol §11);
	// admissionLook when it is looked again whether it may enter, and whether too many wait;
	// refusesMax how many are refused before the loop looks at its sockets; retryMost when, at the
	// latest, who was refused is told to come back.
	admissionWait = time.Second
	admissionLook = 10 * time.Millisecond
	refusesMax    = 64
	retryMost     = 30 * time.Second

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

	// shutPatience is how long those may take to enter who had come when the door was shut: a
	// handshake takes milliseconds.
	shutPatience = 250 * time.Millisecond

	// closePatience bounds closing the door. Whoever is in it has refusedTime, unless its loop is
	// busy.
	closePatience = 2 * refusedTime

	// retryAfter is when a client may try again that came while the node goes away: by then a
	// balancer has learned of it.
	retryAfter = time.Second
)

// stepsMax is how many steps of TLS handshakes may run at a time: they leave half of the processors
// to the loops.
func stepsMax() int { return max(runtime.GOMAXPROCS(0)/2, 1) }

// visitorsOf is how many visitors each of a node's gates may have, where the process may have so
// much memory, in bytes, and so many open files; secure says that some may come over TLS.
func visitorsOf(memory int64, files, gates int, secure bool) int {
	charge := int64(visitorMost)
	if secure {
		charge += handshakeCharge
	}
	most := min(visitorsMax, files/visitorFiles, int(memory/visitorMemory/charge))
	return max(most/gates, 2)
}

// tableOf is how many descriptors room is made for at the start, where so many are wanted, the
// process may have so many open files, and so much memory, in bytes.
func tableOf(wanted, files int, memory int64) int {
	return min(wanted, files, int(memory/fileMemory))
}
