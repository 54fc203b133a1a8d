package server

import (
	"mbserver/ringbuf"
)

// envelopeKind says what the receiving loop does.
type envelopeKind uint8

const (
	envelopePublish  envelopeKind = iota // deliver body to targets; answer with envelopeTaken when wait is set
	envelopeLog                          // a publish that is a line of the log
	envelopeTaken                        // a loop has delivered a publish: count dropped into slot of the waiting acknowledgement
	envelopeRequest                      // deliver a request to service `to`
	envelopeQueue                        // let a request wait on this loop for a service with room
	envelopeDirect                       // deliver body to service `to`
	envelopeWritable                     // the socket in slot/gen takes bytes again
	envelopeCall                         // run call on the loop: rare operations only
)

// envelope is what one loop, or the desk, hands to a loop.
type envelope struct {
	kind      envelopeKind
	text      bool // body came as, or is, UTF-8 text
	unaudited bool
	failure   bool // direct: an error that counts against the receiver
	hops      uint8

	to      *service // request: the chosen target; direct: the receiver
	from    *service // request: the requester; publish: who waits for the acknowledgement, or nil
	body    *ringbuf.Shared
	targets []*service // publish: immutable, shared with the sender's route cache

	deliveries []delivery // publish: how each target wants it
	key        uint64     // publish: the route's

	slot, gen uint32 // publish, taken: the acknowledgement; writable: the connection
	dropped   uint32 // taken
	idLen     uint8  // request: body starts with that many bytes of the requester's own request ID
	topicLen  uint16 // request: bytes of the topic in body's header line
	arrived   int64  // request: loop ms
	deadline  int64  // request: loop ms

	original string // publish: the publisher's request ID, only while there is an audit
	call     func(l *loop)
}
