package trace

// Stop is something that became of a message on its way (protocol §11).
type Stop uint8

// The stops.
const (
	Accepted  Stop = iota // it came in and was looked at
	Limited               // it was over a rate limit
	Forbidden             // its sender may not send it
	Unrouted              // nobody was subscribed to its topic
	Matched               // a subscription matched, or a service was chosen
	Queued                // it waits: for a service, for room, for its receiver's socket
	Delivered             // its receiver's socket took it
	Dropped               // it, or one delivery of it, was lost or refused
	Conflated             // a newer one of its topic took its place
	Answered              // its service has answered
	Expired               // its timeout came first
	Evicted               // as the oldest request it gave way to a newer one
	Revoked               // somebody has lost the permission for it

	stops = iota
)

var stopNames = [stops]string{
	"accepted", "limited", "forbidden", "unrouted", "matched", "queued", "delivered", "dropped",
	"conflated", "answered", "expired", "evicted", "revoked",
}

// String is how the contract writes it.
func (s Stop) String() string { return stopNames[s] }
