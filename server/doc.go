// Package server is the node: the door through which connections arrive, and the room in which
// reactor loops own them.
//
// # Reading order
//
// A PUBLISH, from its bytes to its subscribers:
//
//  1. reactor.go OnTraffic: gnet has read the socket into its loop's buffer. The loop's turn begins (loop.go begin): the
//     clock is read once and the end of the turn is scheduled behind the batch's other I/O events.
//  2. conn.go receive: the connection's codec.Decoder cuts messages out of that buffer, in place.
//  3. dispatch.go dispatch: codec.ParseHeader, size checks, and a switch on the action.
//  4. publish.go publish: the loop's topic.Cache gives the route (route.go): this loop's connections by transport, other
//     loops' services in one group each. A fresh masked ID makes the header line.
//  5. publish.go fanOut: the message is encoded once per wire form into the turn's logs (send.go encode, ringbuf.Turn) and
//     offered to each own connection (overflow.go offer); each other loop gets one envelope (envelope.go postPublish) with
//     a counted reference to the bytes, and delivers it in receivePublish.
//  6. overflow.go makeRoom decides what becomes of it where a ring is full. ack.go answers the publisher, if it asked, once
//     every loop has said what it dropped.
//  7. loop.go run ends the turn: flush writes each connection that has something to say, once (ringbuf.Outbound.Flush,
//     socket_unix.go). What the socket does not take goes to the connection's backlog, and stall_linux.go tells the loop
//     when to go on (conn.go resume).
//
// A REQUEST and its answer:
//
//  1. The same to dispatch; request.go request makes an inquiry of it with its deadline.
//  2. request.go route chooses the service (route.go choose) and hands the inquiry to that service's loop: a call when it is
//     the same, an envelope otherwise.
//  3. request.go deliverRequest takes an entry (pending.go), whose masked ID carries loop and slot, arms its deadline in the
//     loop's timer wheel and sends the request to the target.
//  4. The answer arrives on that same loop, because the target does: request.go response finds the entry by the masked ID,
//     frees it and sends the payload on under the requester's own topic, version and ID (send.go sendTo).
//  5. A deadline (entry.Expire), a target that leaves (failRequestsOf) and the node's bound (evictOldest) end an entry the
//     same way, with an error. An entry is freed exactly once, and only its freeing answers: so is every request.
//
// A connection arrives through door.go (limits, handshake) and loop.go open; it ends in conn.go:
// doom decides, carryOutClose acts at the end of the turn, gone frees the slot. system.go holds the
// table of system topics, one file per group of them.
//
// # Ownership
//
// Everything in loop and conn belongs to the loop's goroutine unless its comment says otherwise.
// The embedded service is what others may hold: immutable or atomic, with slot and generation to
// find the connection again. Loops talk through inboxes only. Scratch buffers of a loop are valid
// within one call; what is said in the middle of something else (gap notices, audit) has scratch of
// its own.
package server
