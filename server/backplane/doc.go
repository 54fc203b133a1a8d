// Package backplane joins nodes to one broker over a bus (NATS): it tells the others which patterns
// somebody here is subscribed to and which services take which requests, keeps theirs, and carries
// publishes, requests and answers to the nodes that they are for. The bus carries frames from node
// to node and decides nothing.
//
// Outline.
//
//	frame.go, beat.go, call_frame.go
//	                   what travels: frames of fields, read as hostile input (fields.go)
//	bus.go, nats.go    what carries them
//	entry.go           what a node tells of itself: patterns, services, their offers
//	interest.go        what this node tells, counted; each change has the next version;
//	                   gather.go: when others are told
//	control.go         heartbeats, and what is heard of others (node.go), within bounds
//	                   (heard.go), until one leaves (farewell.go)
//	waits.go           who waits for others to confirm; receipts of publishes
//	lane.go            the way out of one loop: batches, behind a bounded queue (queue.go)
//	inward.go          what other nodes have published: what misses is seen by its numbers
//	repair.go          asking for it (holes.go), and what a lane keeps for that (kept.go)
//	calls.go, calls_in.go
//	                   requests, answers and loads of services: out, by lanes of their own, and in
//	plane.go           all of it, put together; peers.go tells of it, stepped.go drives it in a
//	                   simulation
//
// Invariants. Every link (from one incarnation of a node, to one of another, of one lane) numbers
// its publishes; what was numbered and neither arrived nor was repaired is lost, counted once by
// who misses it, and told there; it is not delivered when it comes after that. Every change of
// interest has its node's next version; who holds a version holds all changes up to it.
//
// Cost. A node alone has none of this. A publish with interest elsewhere costs its loop a copy for
// each of those nodes; a turn's copies for a node leave as one frame.
package backplane
