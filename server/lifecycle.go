package server

import (
	"context"
	"errors"
	"time"
)

// Start binds every listener, starts the loops and begins to accept. An error names the address that could not be bound,
// and leaves nothing running.
func (n *Node) Start() error {
	if !n.state.CompareAndSwap(int32(nodeNew), int32(nodeAccepting)) {
		return errors.New("the node was started before")
	}
	d, err := newDoor(n)
	if err != nil {
		return err
	}
	n.door = d
	if err := n.startRoom(); err != nil {
		d.close()
		n.stopRoom()
		return err
	}
	if n.admin, err = startAdmin(n); err != nil {
		d.close()
		n.stopRoom()
		return err
	}
	d.open()
	return nil
}

func (n *Node) startRoom() error {
	n.background.start()
	return n.room.start()
}

func (n *Node) stopRoom() {
	n.room.stop()
	n.background.stop() // only loops ask
}

// Addr returns the address that a listener is bound to: transport is "ws", "tcp" or "admin". Empty when it is off. With
// several addresses (localhost) it is the first.
func (n *Node) Addr(transport string) string {
	if transport == "admin" {
		return n.admin.addr()
	}
	if n.door == nil {
		return ""
	}
	return n.door.addr(transport)
}

// drainPoll is how often a draining node looks whether its requests are answered.
const drainPoll = 5 * time.Millisecond

// Shutdown drains the node: readiness fails, listeners close, new requests are refused, those outstanding may finish and
// rings flush, WebSockets are closed with 1001. It returns when all connections are gone, or, with ctx's error, when ctx
// ends: then what is left is cut.
func (n *Node) Shutdown(ctx context.Context) error {
	if !n.state.CompareAndSwap(int32(nodeAccepting), int32(nodeDraining)) {
		return errors.New("the node is not running")
	}
	n.log.Info("draining", "connections", n.connections.Load(), "outstanding", n.outstanding.Load())
	n.door.close()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for n.outstanding.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	for _, l := range n.loops {
		l.post(envelope{kind: envelopeCall, call: (*loop).goAway})
	}
	for n.connections.Load() > 0 && ctx.Err() == nil {
		select {
		case <-n.empty:
		case <-ctx.Done():
		}
	}
	left := n.connections.Load()
	n.stopRoom()
	n.admin.close()
	n.logStream.Stop()
	n.state.Store(int32(nodeStopped))
	if left > 0 {
		n.log.Warn("stopped: connections were cut", "connections", left)
		return ctx.Err()
	}
	n.log.Info("stopped")
	return nil
}
