package admin

import (
	"context"
	"time"

	"mbserver/server/census"
)

// Census shows a node to who may see it. Any goroutine.
type Census interface {
	// Connections shows f every connection, in no order; what it is given is valid until it
	// returns.
	Connections(now time.Time, f func(*census.Connection))
	// Connection returns one, with the first most of its subscriptions. The error is
	// census.ErrUnknown or, when ctx has ended, census.ErrBusy.
	Connection(ctx context.Context, id string, most int, now time.Time) (*census.Detail, error)
	// LoopsNow shows the loops, by their index.
	LoopsNow(now time.Time) []census.Loop
	// Topics looks at patterns. The error is census.ErrBusy, when ctx has ended.
	Topics(ctx context.Context, q *census.Topics, now time.Time) (*census.Branches, error)
	// SubscribersOf shows f who is subscribed to a pattern for an action, in no order. The error
	// says that it is none.
	SubscribersOf(pattern, action string, f func(*census.Subscriber)) error
}
