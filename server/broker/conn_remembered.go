package broker

import (
	"mbserver/codec"
	"mbserver/server/system"
)

// What connections ask the node to remember for as long as they live: subscriptions, profiles, log
// filters.
//
// Purpose. Nobody is cut for what is remembered, so it may not take the memory of those who are:
// what would go beyond a part of memory.limit is refused. Nobody takes that part for himself.
//
// Outline. Each connection is charged what is remembered for it (keep), and the node counts the sum
// (Broker.remembered), until the last subscription of who has left is ended. Beyond half of
// bounds.remembers a connection gets no more than its part, which is that half shared by all
// connections; beyond the whole nobody gets more. To give back, to repeat what is there, and to put
// less in its place is always possible.
//
// Cost. An addition for each change.

// keep charges c, by bytes more or less, for what the node remembers for it.
func (c *Conn) keep(bytes int) {
	if bytes == 0 {
		return
	}
	c.remembered().kept += int32(bytes)
	c.loop.remember(int64(bytes))
}

// remember charges the loop for that.
func (l *Loop) remember(bytes int64) {
	l.charge += bytes
	l.broker.remembered.Add(bytes)
}

// mayKeep says whether so many bytes more may be remembered for c.
func (c *Conn) mayKeep(bytes int) bool {
	b := c.loop.broker
	more, half := int64(bytes), b.remembers/2
	switch all := b.remembered.Load() + more; {
	case more <= 0 || all <= half:
		return true
	case all > b.remembers:
		return false
	}
	return (c.subs.charged()+more)*b.connections.Load() <= half
}

// nothingMore is the answer when it may not.
var nothingMore = &system.Error{Code: codec.ServiceUnavailable,
	Message: "this node has no memory to remember that",
	Details: []codec.Detail{codec.TextDetail("reason", "memory")}}
