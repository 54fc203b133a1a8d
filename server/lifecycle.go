package server

import (
	"context"

	"mbserver/server/admin"
	"mbserver/server/door"
	"mbserver/server/reactor"
)

// Start binds every listener, starts the loops and begins to accept. An error names the address
// that could not be bound, and leaves nothing running.
func (n *Node) Start() (err error) {
	if err := n.broker.Open(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			n.stop()
		}
	}()
	if n.door, err = door.Bind(&n.cfg, n.broker, n.log); err != nil {
		return err
	}
	if n.reactors, err = reactor.Start(n.broker, n.log); err != nil {
		return err
	}
	about := admin.About{Version: n.version, NodeID: n.broker.ID().String()}
	if n.admin, err = admin.Start(n.cfg.Admin.Address, n.broker, about, n.log); err != nil {
		return err
	}
	return n.door.Open(n.reactors)
}

// stop ends what runs, from the top floor down.
func (n *Node) stop() {
	if n.door != nil {
		n.door.Close()
	}
	if n.reactors != nil {
		n.reactors.Stop()
	}
	n.admin.Close()
	n.broker.Stop()
}

// Addr returns the address that a listener is bound to: transport is "ws", "tcp" or "admin". Empty
// when it is off. With several addresses (localhost) it is the first.
func (n *Node) Addr(transport string) string {
	switch {
	case transport == "admin":
		return n.admin.Addr()
	case n.door == nil:
		return ""
	}
	return n.door.Addr(transport)
}

// Shutdown drains the node: readiness fails, listeners close, new requests are refused, those
// outstanding may finish and rings flush, WebSockets are closed with 1001. It returns when all
// connections are gone, or, with ctx's error, when ctx ends: then what is left is cut.
func (n *Node) Shutdown(ctx context.Context) error {
	if err := n.broker.Refuse(); err != nil {
		return err
	}
	n.door.Close()
	left := n.broker.Drain(ctx)
	n.stop()
	if left > 0 {
		n.log.Warn("stopped: connections were cut", "connections", left)
		return ctx.Err()
	}
	n.log.Info("stopped")
	return nil
}
