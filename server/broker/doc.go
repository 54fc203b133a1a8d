// Package broker is the core: loops that own connections, and what they do with messages. It knows
// no listener, no event library and no HTTP: a Driver gives a loop time and turns, a Socket gives a
// connection its wire; the reactor implements both over gnet, the simulation over nothing.
//
// Read turn.go first: what a loop does in a turn, in order. The prefix of a file is its corner:
//
//   - loop_*: the loop itself, how it is driven, what it is sent by others
//   - conn_*: a connection's life, and what becomes of messages on the way out
//   - dispatch_*: one message in: may it pass, and the refusal when not
//   - publish_*: to all who subscribed: route, acknowledgement, publishes that wait for room
//   - request_*: to one service: the choice, the table of outstanding ones, the queue, the answer
//
// Without a prefix stands what all loops share (broker.go, registry.go, budget.go, bounds.go,
// drain.go, background.go, sample.go), what others may hold of a connection (service.go), and
// fate.go: the one place for each thing that can become of a message.
//
// These files name one another in circles, because they are one actor: a loop. What leads back into
// the core at one small interface at the most stands below it, in packages of its own.
package broker
