package server

import "context"

// Pulse waits until every loop has turned, whether there is something to do or not. An error says
// which have not when ctx ends. After the node's end there is nothing to wait for. Any goroutine,
// after Start.
func (n *Node) Pulse(ctx context.Context) error { return n.reactors.Pulse(ctx) }
