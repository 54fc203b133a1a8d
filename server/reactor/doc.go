// Package reactor drives the broker's loops with gnet, one event loop for each of them, and gives
// connections their sockets. It is the only importer of gnet: what that library does with a
// connection, and what this node does without it (writing, waiting for room, leaving a socket
// unread), is known here alone.
//
// Reading order: group.go (one reactor a loop, Enroll), reactor.go (gnet's events drive turns),
// socket_unix.go (writing), stall_*.go (word of room), pause_*.go (sockets that are not read).
package reactor
