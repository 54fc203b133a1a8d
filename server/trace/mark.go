package trace

import "mbserver/codec"

// Mark names a message in the books of a node; 0: it is in none. A loop gives each of its own the
// next, so that one comes again after 16 million of them.
type Mark uint32

const (
	markBits = 24
	markMost = 1<<markBits - 1
)

// Origin is the index of the loop that has looked at the message.
func (m Mark) Origin() int { return int(m >> markBits) }

// Message is what a book knows of a message beside what became of it.
type Message struct {
	Mark Mark
	At   int64 // Unix ms: when it came to this loop
	ID   codec.UUID
	// Masked is the ID under which its receivers know it, as far as this loop has given it; zero:
	// it has not.
	Masked codec.UUID

	// Of its origin alone; zero elsewhere.
	Sender   codec.UUID // the service
	Identity string     // whose that is; "": not known
	Topic    string     // canonical; "": it could not be read
}

// Entry is one thing that became of a message; one with neither service nor reason and with More
// stands only for others.
type Entry struct {
	Mark    Mark
	Stop    Stop
	More    uint32 // others of the kind of which nothing else is kept
	At      int64  // Unix ms
	Service codec.UUID
	Reason  string
	Pattern string // of the subscription that matched; canonical
}

// Account is what a loop knows of one message.
type Account struct {
	Message
	Entries []Entry // in the order in which they came
}
