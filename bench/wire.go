//go:build linux

package bench

import "fmt"

// role is what a connection of the generator does.
type role uint8

const (
	publisher role = iota
	subscriber
	requester
	responder
	idler // subscribed, and silent
)

// wire is how one protocol looks on the descriptor. Implementations have no state: one serves every
// connection.
//
// The generator counts what arrives in bytes, since all frames of a stream have the same length: a
// missing, surplus or foreign message is a count that does not come out even, and fails the run.
type wire interface {
	// hello is what a client says first, empty if the server speaks first; frame is the length of a
	// published frame.
	hello(r role, topic string, slot, frame int) []byte
	// welcomed reports whether in, everything that arrived, is the whole answer to hello.
	welcomed(in []byte) bool
	// subscribe is what makes the connection receive pattern, nil when nothing is to be said in
	// this role.
	subscribe(r role, pattern string, slot int) []byte
	// subscribed reports whether in is the whole answer to subscribe.
	subscribed(in []byte) bool
	// appendPublish appends one published frame.
	appendPublish(dst []byte, topic string, payload []byte) []byte
	// delivered is the length of the frame that a subscriber receives for it, in the unit of tally.
	delivered(topic string, payload int) int
}

// tallier is a wire whose deliveries have no constant length on the descriptor.
type tallier interface {
	// tally takes bytes that arrived on c and returns their worth in the unit of delivered.
	tally(c *conn, in []byte) int64
}

// asker is a wire with which one client can ask another.
type asker interface {
	wire
	// appendRequest appends a request of requester slot; number tells its requests apart.
	appendRequest(dst []byte, topic string, slot, number int, payload []byte) []byte
	// answered is the number of bytes the requester receives for each.
	answered(topic string, payload int) int
	// answer appends the answers to all whole requests in in, with the same payload, and returns
	// how much of in it took.
	answer(dst, in []byte) (out []byte, used int)
}

// wireFor returns the adapter of a target over a transport, nil when there is none. The floor has
// no TLS.
func wireFor(target, transport string) wire {
	if loopsOf(target) > 0 {
		target = node
	}
	if target == "raw" && overTLS(transport) {
		return nil
	}
	switch target + "/" + plainOf(transport) {
	case node + "/tcp":
		return mbWire{}
	case node + "/ws":
		return mbWire{ws: true}
	case "raw/tcp":
		return rawWire{}
	case "nats/tcp":
		return natsWire{}
	case "nats/ws":
		return framedWire{inner: natsWire{}, binary: true}
	case "redis/tcp":
		return redisWire{}
	case mqttBroker + "/tcp":
		return mqttWire{}
	case "centrifuge/ws":
		return framedWire{inner: centrifugeWire{}, perFrame: 1}
	}
	return nil
}

// payloadOf returns n bytes of text.
func payloadOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

// level is a topic level with a number of constant width, so that all frames of a scenario have the
// same length.
func level(prefix string, n int) string { return fmt.Sprintf("%s%04d", prefix, n) }
