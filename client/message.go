package client

import (
	"encoding/json"
	"time"
)

// Message is one published message.
type Message struct {
	Topic   string // as the publisher spelled it
	Version string // MAJOR.MINOR.PATCH
	Payload []byte // the receiver's own, but see WithBorrowedPayload
	id      []byte // lives as long as Payload
}

// ID returns the broker's ID of the message, the same for all its subscribers;
// "" when it has none (notices and log lines).
func (m Message) ID() string { return string(m.id) }

// Clone returns a copy of its own, for a borrowed message that is kept.
func (m Message) Clone() Message {
	own := make([]byte, len(m.id)+len(m.Payload))
	n := copy(own, m.id)
	copy(own[n:], m.Payload)
	m.id, m.Payload = own[:n:n], own[n:]
	return m
}

// Request is one request to a handler. Everything in it belongs to the handler.
type Request struct {
	Topic    string // as the requester spelled it
	Version  string
	ID       string // the broker's masked ID
	ParentID string // "" when absent
	Payload  []byte
	deadline time.Time // zero: not told
}

// Ack is the broker's acknowledgement of a publish.
type Ack struct {
	Subscribers int `json:"subscribers"` // it was routed to
	Dropped     int `json:"dropped"`     // of them over their limit, who did not get it
	Unconfirmed int `json:"unconfirmed"` // other nodes that did not say in time, beside these
}

// Gap says that messages were dropped because this client was too slow, or lost between the
// broker's nodes.
type Gap struct {
	// Local: the client dropped them itself, because a callback waited for the
	// answer of a call that stood behind them, or during a reconnect.
	Local     bool      `json:"-"`
	Count     uint64    `json:"count"`     // messages lost
	Conflated uint64    `json:"conflated"` // messages replaced by newer ones of their topic
	Since     time.Time `json:"since"`     // the first
	Until     time.Time `json:"until"`     // the last

	// AtMost: some of the messages may have been for others. It comes with a Reason,
	// "cluster": they were lost between the broker's nodes.
	AtMost bool   `json:"atMost,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Flow says that the broker stopped or started reading this publisher.
type Flow struct {
	State string `json:"state"` // "paused" or "resumed"
	Topic string `json:"topic"`
}

// Registration describes this client in the broker's list of services.
type Registration struct {
	Name        string `json:"name"`        // 1–36 characters
	Description string `json:"description"` // at most 1024 characters; "" stands for the name
	// MaxConcurrent is how many requests may be in flight to this service; 0: the broker's default.
	MaxConcurrent int               `json:"maxConcurrent,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"` // at most 1 KiB as JSON
}

// Limits are the broker's, as it told them on connecting; 0 means not told.
type Limits struct {
	PayloadBytes        int    `json:"payloadBytes"`        // of a message
	TimeoutMs           uint64 `json:"timeoutMs"`           // of a request
	OutstandingRequests int    `json:"outstandingRequests"` // in the whole node
}

// welcome is the payload of system.initialize (protocol §4).
type welcome struct {
	ServiceID     string `json:"serviceId"`
	NodeID        string `json:"nodeId"`
	ServerVersion string `json:"serverVersion"`
	Limits        Limits `json:"limits"`
	Heartbeat     struct {
		RetryMs int64 `json:"retryMs"`
	} `json:"heartbeat"`
	Auth *identification `json:"auth"` // nil: the broker asks nobody
}

func parseWelcome(payload []byte) welcome {
	var w welcome
	// A broker that says nothing useful here is still a broker.
	if json.Unmarshal(payload, &w) != nil {
		return welcome{}
	}
	return w
}

// complete adds the description that the broker asks for.
func (r Registration) complete() Registration {
	if r.Description == "" {
		r.Description = r.Name
	}
	return r
}
