package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"mbserver/server/admin"
	"mbserver/server/broker"
	"mbserver/server/door"
	"mbserver/server/reactor"
)

// ListenError is why a listener could not be bound.
type ListenError = door.ListenError

// Start binds every listener, starts the loops and begins to accept. An error leaves nothing
// running; it is a *ListenError when an address could not be bound.
func (n *Node) Start() (err error) {
	if !n.started.CompareAndSwap(false, true) {
		return errors.New("the node was started before")
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.Background(), endTime)
			defer cancel()
			if n.door != nil {
				n.door.Close(ctx)
			}
			err = errors.Join(err, n.stop(ctx))
		}
	}()
	handed, err := n.takeListeners()
	defer closeAll(handed) // those that an error has left
	if err != nil {
		return err
	}
	if n.door, err = door.Bind(&n.cfg, n.broker, n.certificates, handed, n.log); err != nil {
		return err
	}
	if n.reactors, err = reactor.Start(n.broker, n.log); err != nil {
		return err
	}
	about := admin.About{Version: n.version, NodeID: n.broker.ID().String(), Server: n.url()}
	options := admin.Options{
		Address: n.cfg.Admin.Address, Pprof: n.cfg.Admin.Pprof,
		Hosts: slices.Concat(n.cfg.Admin.Hosts, n.cfg.WS.Hosts),
		Desk:  &n.broker.Desk, Operator: n, Open: n.cfg.Admin.Operator,
		Census: n.broker, Settings: n.settings.shown,
		Reading: n.settings.reading, Source: n.broker, Dial: n.door.Dial,
	}
	if own := handed["admin"]; len(own) > 0 {
		options.Listener = own[0]
		delete(handed, "admin") // the listener's from here on
	}
	if n.admin, err = admin.Start(options, n.broker, about, n.log); err != nil {
		return notListening("admin", options.Address, err)
	}
	if n.agent, err = admin.StartAgent(n.cfg.Admin.Agent, n.broker, n.log); err != nil {
		return notListening("agent", n.cfg.Admin.Agent, err)
	}
	n.watchExpiry()
	if err := n.joinCluster(); err != nil {
		return err
	}
	if err := n.broker.Open(); err != nil { // from here on it is ready
		return err
	}
	return n.door.Open(n.reactors)
}

// url is where clients reach the node: over TCP, or else what there is.
func (n *Node) url() string {
	for _, scheme := range []string{"tcp", "ws", "tls", "wss"} {
		if address := n.door.Addr(scheme); address != "" {
			return scheme + "://" + address
		}
	}
	return ""
}

// notListening is the error of one of the operators' listeners, whose address is valid.
func notListening(transport, address string, err error) *ListenError {
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	return &ListenError{Transport: transport, Host: host, Port: number, Err: err}
}

// stop ends what runs below the door, from the top floor down. An error says what had not ended
// when ctx did.
func (n *Node) stop(ctx context.Context) (err error) {
	if n.plane != nil {
		n.plane.Close() // nobody is left who could want something of others
	}
	if n.reactors != nil {
		err = n.reactors.Stop(ctx)
	}
	n.ended()
	if n.expiry != nil {
		n.expiry.Stop()
	}
	n.admin.Close(ctx)
	n.agent.Close(ctx)
	n.broker.Stop(ctx)
	return err
}

// Addr returns the address that a listener is bound to: transport is "ws", "wss", "tcp", "tls",
// "admin" or "agent". Empty when it is off. With several addresses (localhost) it is the first.
func (n *Node) Addr(transport string) string {
	switch {
	case transport == "admin":
		return n.admin.Addr()
	case transport == "agent":
		return n.agent.Addr()
	case n.door == nil:
		return ""
	}
	return n.door.Addr(transport)
}

// endTime is how long Shutdown may go on when its time is over: to tell clients why they are cut,
// and to end what runs.
const endTime = 1500 * time.Millisecond

// Announce begins the end of a node: readiness fails, and all else goes on as before for delay, so
// that balancers see it; not when none has asked lately, nor while no connection stands, nor beyond
// the end of ctx. Shutdown is to follow.
func (n *Node) Announce(ctx context.Context, delay time.Duration) {
	n.drain.stop() // what it has told stands until Shutdown tells else
	n.broker.Unready()
	n.broker.AwaitNotice(ctx, delay)
}

// Shutdown ends the node: readiness fails, listeners close, and each connection is told when to go
// (protocol §11), and closed then, or as soon after as nothing of it is outstanding. It returns
// when all are gone. When ctx ends first, requests that are still outstanding are answered so, and
// what is left is cut: that takes at most endTime, even when a loop is busy and does not end. An
// error says how many connections were cut, or what had not ended.
func (n *Node) Shutdown(ctx context.Context) error {
	n.drain.stop()
	n.door.Shut(ctx) // before anybody is refused
	if err := n.broker.Refuse(); err != nil {
		return err
	}
	log := n.log.With("module", "node")
	end, cancel := longer(ctx, endTime)
	defer cancel()
	n.door.Close(ctx)
	n.broker.Depart(n.schedule(ctx))
	n.broker.Drain(ctx)
	err := n.stop(end)
	if cut := n.broker.CutOff(); cut > 0 {
		log.Warn("stopped: connections were cut", "connections", cut)
		err = errors.Join(err, fmt.Errorf("%d connections were cut", cut))
	}
	if err == nil {
		log.Info("stopped")
		return nil
	}
	return errors.Join(err, ctx.Err())
}

// schedule is that of a drain that ends with ctx.
func (n *Node) schedule(ctx context.Context) broker.Schedule {
	c := n.cfg.Shutdown
	s := broker.Schedule{Spread: c.Spread, Rate: c.Rate, Grace: c.Grace, Time: c.Timeout}
	if at, ends := ctx.Deadline(); ends {
		s.Time = max(time.Until(at), 0)
	}
	return s
}

// longer returns a context that ends d after ctx does.
func longer(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	end, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return end, func() {
		stop()
		cancel()
	}
}
