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

// wire is how one protocol looks on the descriptor. One serves every connection of a loop; but for
// deflateWire they have no state.
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
	tally(c *conn, in []byte) (int64, error)
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
// neither TLS nor compression.
func wireFor(target, transport string) wire {
	if loopsOf(target) > 0 {
		target = node
	}
	if target == "raw" && plainOf(transport) != transport {
		return nil
	}
	inside := plainOf(transport)
	if transport == withDeflate {
		inside = transport
	}
	switch target + "/" + inside {
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
	case node + "/" + withDeflate:
		return newDeflateWire(framedWire{inner: mbInside{}})
	case "centrifuge/" + withDeflate:
		return newDeflateWire(framedWire{inner: centrifugeWire{}, perFrame: 1})
	}
	return nil
}

// payloadOf returns n bytes of text, always the same. It compresses to about a quarter, as what
// devices report does.
func payloadOf(n int) []byte {
	const reading = "room-07 temperature=21.305 humidity=48.119;"
	b := make([]byte, 0, n+len(reading))
	for x := uint32(1); len(b) < n; {
		x = x*1664525 + 1013904223 // Numerical Recipes
		b = fmt.Appendf(b, "room-%02d temperature=2%d.%03d humidity=4%d.119;",
			x>>27, x>>24%10, x>>14%1000, x>>8%10)
	}
	return b[:n:n]
}

// level is a topic level with a number of constant width, so that all frames of a scenario have the
// same length.
func level(prefix string, n int) string { return fmt.Sprintf("%s%04d", prefix, n) }
