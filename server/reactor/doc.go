// Package reactor drives the broker's loops, each with one of gnet's pollers, and gives connections
// their sockets. It is the only importer of gnet: what the poller does with a descriptor, and what
// this node does itself (reading, writing, waiting for room, leaving a socket unread), is known
// here alone.
//
// Reading order: group.go (one reactor a loop), reactor.go (events drive turns; guests; Open),
// socket_unix.go (writing, closing), table.go (which socket a descriptor is), stall_*.go (word of
// room), pause_*.go (sockets that are not read).
package reactor
