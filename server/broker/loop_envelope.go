package broker

import (
	"mbserver/ringbuf"
)

// envelopeKind says what the receiving loop does.
type envelopeKind uint8

const (
	envelopePublish  envelopeKind = iota // deliver body to group; with from: answer envelopeTaken
	envelopeLog                          // a publish that is a line of the log
	envelopeTaken                        // a publish is delivered: tell who waits in slot
	envelopeRequest                      // deliver a request to service `to`
	envelopeQueue                        // let a request wait on this loop for a service with room
	envelopeDirect                       // deliver body to service `to`
	envelopeWritable                     // the socket in slot/gen takes bytes again
	envelopeCall                         // run call on the loop: rare operations only
)

// envelope is what one loop, or the background goroutine, hands to a loop.
type envelope struct {
	kind      envelopeKind
	unaudited bool
	failure   bool // direct: an error that counts against the receiver

	to *service // request: the chosen target; direct: the receiver
	// ackRef: of a publish, who waits for the acknowledgement, if anybody; taken: whose it is;
	// writable: only slot and gen.
	ackRef

	packed // request: itself; publish and direct: body is the whole message, text as it says

	group   *remoteGroup // publish: its targets; immutable, shared with the sender's route cache
	key     uint64       // publish: the route's
	dropped uint32       // taken

	original string // publish: the publisher's request ID, only while there is an audit
	call     func(l *Loop)
}

// whole is how an envelope that is no request holds its message: header line and payload. body is
// taken over.
func whole(body *ringbuf.Shared, text bool) packed {
	return packed{trip: trip{text: text}, body: body}
}

// direct is the envelope that delivers a whole message to one service. body is taken over.
func direct(to *service, body *ringbuf.Shared, text, failure bool) envelope {
	return envelope{kind: envelopeDirect, to: to, failure: failure, packed: whole(body, text)}
}

// taken is the envelope that tells a publisher's loop how many deliveries of a publish were dropped
// here.
func taken(ref ackRef, dropped int) envelope {
	return envelope{kind: envelopeTaken, ackRef: ref, dropped: uint32(dropped)}
}

// writable is the envelope that says that the socket of a connection takes bytes again.
func writable(slot, gen uint32) envelope {
	return envelope{kind: envelopeWritable, ackRef: ackRef{slot: slot, gen: gen}}
}
