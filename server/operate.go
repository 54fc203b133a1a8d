package server

import (
	"context"

	"mbserver/server/system"
)

// Operate does something to a connection for somebody who may: it is thrown out, muted, or
// subscriptions of it end. It returns when that is done; ended counts the subscriptions. An error
// says that there is no such service, or that ctx ended before its loop came to it.
func (n *Node) Operate(
	ctx context.Context, by system.Actor, o *system.Order,
) (ended int, err *system.Error) {
	return n.broker.Operate(ctx, by, o)
}
