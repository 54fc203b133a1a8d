// Package broker is the core: loops that own connections, and what they do with messages. It knows
// no listener, no event library and no HTTP: a Driver gives a loop time and turns, a Socket gives a
// connection its wire; the reactor implements both over gnet, the simulation over nothing.
//
// Read turn.go first: what a loop does in a turn, in order. The prefix of a file is its corner:
//
//   - loop_*: the loop itself, how it is driven, and what loops have for one another: parcels
//     (loop_parcel.go) and where they arrive (loop_inbox.go)
//   - conn_*: a connection's life, and what becomes of messages on the way out
//   - dispatch_*: one message in: may it pass, and the refusal when not
//   - publish_*: to all who subscribed: route, acknowledgement, publishes that wait for room
//   - request_*: to one service: the choice, the table of outstanding ones, the queue, the answer
//
// Without a prefix stand what all loops share (broker.go, registry.go, budget.go, laggards.go,
// bounds.go, drain.go, background.go, snapshot.go, sample.go), what others may hold of a connection
// (service.go), how its messages are framed (transport.go), what package system asks for
// (system.go), the stream of all messages (audit.go), and fate.go: one function for each thing that
// can become of a message. invariants*.go look at a loop's books in builds for the race detector,
// simfault*.go break a node on purpose in builds for that.
//
// A loop touches nothing of another's but its inbox and what is atomic. What a turn has for another
// loop, a publish for its subscribers, a request for its service, an answer for its requester, is
// an item in the parcel for that loop, which goes to that loop's inbox at the end of the turn.
//
// These files name one another in circles, because they are one actor: a loop. A part that does not
// call back into it, or only through an interface, stands below, in a package of its own.
package broker
