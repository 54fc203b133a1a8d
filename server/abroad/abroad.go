// Package abroad has the words in which a broker and those who reach other nodes (server/backplane)
// speak of services and requests that cross: both know these, neither knows the other.
//
// Outline. The node that a requester is connected to is a request's origin: it owns the request,
// its deadline and its one answer. The node of the service that it is sent to is its target. A
// request is named by its origin's masked ID (Ref), which nobody else can guess.
package abroad

import "mbserver/codec"

// Service is what other nodes are told of a service that takes requests. Immutable.
type Service struct {
	ID          codec.UUID
	Capacity    int32 // how many requests it may have at a time; 0: any number
	ConnectedAt int64 // Unix ms
	Transport   string
	Identity    string // "" when that is not known
	Name        string // as registered; "" before it is
	Description string
	Metadata    []byte // canonical JSON object of strings, nil when empty
}

// Offer is one subscription of a service for requests. Comparable.
type Offer struct {
	Service  codec.UUID
	Pattern  string // canonical
	Priority float64
}

// Load is how much of its capacity a service has given away.
type Load struct {
	Service codec.UUID
	// Others is how many requests it has that are not of the node that this is said to: what that
	// one has sent, it knows itself.
	Others  int32
	Stalled bool // it takes none: its socket takes nothing, or it is muted
	Last    bool // others are chosen first: it, or its node, is being drained
}

// Wait says whether requests wait at the node that says it for a service of the node that it is
// said to, which then keeps room for it in its turn, and tells it of that with a Load. It is said
// again and again while they do, each time answered with a Load, so that none that was lost is
// missed for long.
type Wait struct {
	Service codec.UUID
	Waits   bool
}

// Request is a request on its way to its target. Its slices are the sender's: who keeps them
// copies.
type Request struct {
	Ref       codec.UUID
	Service   codec.UUID
	Requester codec.UUID // for logs and traces
	Left      int64      // ms until its deadline, when it is handed over
	Text      bool       // its payload is known to be UTF-8
	Owed      bool       // it has an ID: somebody waits for its answer
	Topic     []byte     // as the requester wrote it
	Version   []byte
	Payload   []byte
}

// Outcome is what became of a request at its target.
type Outcome uint8

const (
	Answered Outcome = iota // the service has answered
	Failed                  // the service will not answer, or it comes too late for it
	Busy                    // the service has no room, or is not there: it got nothing
)

// Answer is a target's word of a request, its only one. Its slices are the sender's.
type Answer struct {
	Ref     codec.UUID
	Outcome Outcome
	Text    bool       // of an answer: it is known to be UTF-8
	Code    codec.Code // of a failure
	// Payload is the answer; of a failure the error as codec.AppendError writes it; of Busy the
	// request's own, so that its origin need not keep it.
	Payload []byte
}
