// Package ringbuf holds the node's bounded queues of bytes and messages.
//
//   - Frames is what one loop encodes during one turn in one wire form, each frame once.
//   - Outbound is one connection's egress. During a turn it only remembers ranges of the Frames,
//     merging neighbours, so that a burst fanned out to a thousand subscribers is encoded once and
//     written from the same memory a thousand times. What the socket does not take is copied into
//     the connection's own ring (backlog; large bodies are kept as a counted reference), bounded in
//     bytes and messages. What that holds is bounded by what waits, whatever was taken out of it;
//     an idle connection holds no memory here.
//   - Shared is a counted, pooled buffer: large bodies, which several rings and loops refer to.
//
// Nothing here knows a socket, a clock, a topic or a policy: who may append what, and what becomes
// of a frame for which there is no room, is decided by the caller.
package ringbuf
