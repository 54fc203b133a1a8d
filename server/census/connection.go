package census

import (
	"net/netip"
	"time"

	"mbserver/codec"
)

// Connection is one connection, which in the contract is a service. Counts are since it connected;
// rates are per second, of the time since another census at least a second ago, or since it
// connected. Bytes are with framing, without that of TLS.
type Connection struct {
	ID                    codec.UUID
	Name                  string // "" until it registers
	Description           string
	Metadata              []byte // canonical JSON object of texts; nil: none. Read only
	Identity              string // "" when that is not known
	Transport             string // tcp, ws, tls, wss
	Remote                netip.AddrPort
	Loop                  int
	ConnectedAt, LastSeen int64 // Unix ms
	Registered            bool
	Serves                bool // it is subscribed for requests
	Slow                  bool // its socket takes nothing at the moment
	Unread                bool // its socket is not read at the moment
	Draining              bool // it was told when to go

	Received, ReceivedBytes uint64
	Sent, SentBytes         uint64
	Dropped                 uint64 // deliveries that it did not get

	ReceivedRate, ReceivedBytesRate float64
	SentRate, SentBytesRate         float64

	BacklogBytes, BacklogMessages int64 // that its socket has not taken
	Outstanding                   int   // requests it was chosen for and has not answered
	MaxConcurrent                 int   // how many of those it may have; 0: any number
	Queued                        int   // its own requests that wait for a service with room
	ErrorRate                     int   // errors that it was answered, in the last whole second

	// Requests that it answered, or that timed out with it, in the last 30 to 60 s; and how long
	// half of them, and 99 of 100, took at most, to a quarter, from their arrival. 0: none.
	Answers              uint64
	AnswerP50, AnswerP99 time.Duration
}

// Why nothing is taken of a connection.
const (
	PauseBackpressure = "backpressure" // its publishes wait for room in a subscriber's ring
	PauseInbox        = "inbox"        // it fills the inbox of another loop
	PauseAnswers      = "answers"      // it does not read the answers it causes
	PauseCredentials  = "credentials"  // they are being checked
	PauseShare        = "share"        // its loop is busy, and has taken its share for now
)

// Detail is what its loop knows of a connection beside that.
type Detail struct {
	Connection
	Subscriptions     []Subscription // the first of them, by topic and action
	SubscriptionCount int
	Remembered        int64 // bytes: subscriptions, profile, log filter
	Charged           int64 // bytes charged to memory.limit beside those

	Ring   Ring
	Gap    Gap
	Pauses []string // why nothing is taken of it

	PausedTopic  string   // whose subscribers a publisher waits for
	Parked       bool     // publishes wait for room in its ring
	Unparsed     int      // bytes that have come of a message that is not complete
	Answers      int      // answers that it is owed
	SilentFor    int64    // ms without a byte, as far as its loop has listened
	Heartbeats   int      // asked of it since then
	Anonymous    bool     // it gave no credentials, on a node that asks
	Unidentified bool     // it has to say who it is before anything else
	Expires      int64    // Unix ms: when its credentials end; 0: never
	Roles        []string // that it has; nil: it may do everything, or nothing is known of it
	RateLimit    int      // messages a second that it may send by its roles; 0: any number
}

// Subscription is one of a connection's.
type Subscription struct {
	Action, Topic string
	Priority      float64
	Overflow      string // "" : the node's policy
	Conflate      bool
}

// Ring is what waits for a connection.
type Ring struct {
	Bytes, Messages           int
	OwnBytes, OwnMessages     int // of these, what it owes to itself: answers and errors
	HeldBytes                 int // memory of what its socket has not taken
	LimitBytes, LimitMessages int
}

// Gap is what a connection has lost and was not told of.
type Gap struct {
	Lost, Conflated int
	Since           int64 // Unix ms
}
