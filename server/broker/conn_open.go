package broker

import (
	"context"
	"log/slog"
	"net/netip"

	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/limit"
	"mbserver/server/metrics"
	"mbserver/server/secure"
	"mbserver/server/system"
)

// Arrival is a connection that passed the door.
type Arrival struct {
	Transport Transport
	Remote    netip.AddrPort  // the client's; without a zone in what is logged
	Counted   bool            // its place is one of Remote's
	Answer    []byte          // the door's to the handshake: goes out before all else
	Rest      []byte          // what came after the handshake
	Session   *secure.Session // what seals and opens its bytes; nil: nothing does
	Deflate   bool            // permessage-deflate is agreed
	Grant     *auth.Grant     // what it has proved already; nil: nothing
}

// Open makes a connection of an arrival in c, which is zero and may lie beside the socket's own
// state. It is not ok when a fault of ours prevents that. The arrival's rest is still to be
// received. Loop only.
func (l *Loop) Open(c *Conn, a *Arrival, sock Socket) (ok bool) {
	l.begin()
	l.guard(nil, func() {
		l.open(c, a, sock)
		ok = true
	})
	return ok
}

func (l *Loop) open(c *Conn, a *Arrival, sock Socket) {
	var slot uint32
	if n := len(l.free); n > 0 {
		slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		slot = uint32(len(l.conns))
		l.conns = append(l.conns, nil)
		l.gens = append(l.gens, 0)
	}
	c.sock = sock
	c.loop = l
	c.slot = slot
	c.gen = l.gens[slot]
	c.id = l.newID()
	c.connectedAt = l.time.Unix
	c.transport, c.form = a.Transport, a.Transport.form(a.Deflate)
	c.peer = peerOf(a.Remote)
	c.mark(markCounted, a.Counted)
	c.capacity.Store(l.broker.perService)
	c.lastSeen.Store(l.time.Unix)
	c.heard = l.listened()
	if l.gate != nil {
		c.own = new(limit.Own)
	}
	l.conns[slot] = c
	good := l.stand(c, a.Grant)
	a.Grant = nil // taken over
	switch c.form {
	case formTCP:
		c.dec = codec.NewTCPDecoder(c.longest())
	case formWS:
		c.dec = codec.NewWSDecoder(c.longest(), false)
	case formDeflate:
		c.dec = codec.NewWSDeflateDecoder(c.longest(), false, &l.inflaters)
		l.deflate.Connections.Add(1)
	}
	if c.standing == nil || !c.standing.demanded {
		l.announce(c)
	}
	l.countLevel(c.transport.level(), true)
	l.broker.Arrivals.Connected.Add(l.time.sec())
	c.timer.Owner = c
	l.drain.count(false, 1)
	if len(a.Answer) > 0 {
		l.sendRaw(c, a.Answer)
	}
	if !l.broker.echo {
		c.armHeartbeat()
		l.welcome(c)
	}
	l.drain.joins(c)
	if !good {
		c.standing.refuse(codec.Unauthorized, notValid, "revoked")
	}
	if log := l.broker.modules.connection; log.Enabled(context.Background(), slog.LevelInfo) {
		id := c.id.String()
		log.Info("connected: "+id, "serviceId", id,
			"transport", c.transport.String(), "remote", c.peer.String())
	}
}

// longest is how many bytes a frame of c may have. A token may be longer than a node's messages.
func (c *Conn) longest() int {
	if c.standing != nil {
		return c.loop.broker.authFrame
	}
	return c.loop.broker.maxFrame
}

// announce shows c to the others: it is a service from now on.
func (l *Loop) announce(c *Conn) {
	l.broker.registry.add(&c.service)
	l.counts[metrics.Registrations]++
}

// welcome greets a new connection (protocol §4).
func (l *Loop) welcome(c *Conn) {
	b := l.broker
	var id *system.Identification
	if s := c.standing; s != nil {
		id = &system.Identification{}
		if s.grant != nil {
			id = identificationOf(s.grant)
		}
		id.Required = b.authority.Load().Required
	}
	l.notice = system.AppendInitialize(l.notice[:0], &system.Welcome{
		ServiceID:           c.id,
		NodeID:              b.id,
		Version:             b.version,
		PayloadBytes:        b.payloadMax,
		TimeoutMs:           b.timeoutMaxMs,
		OutstandingRequests: b.maxOutstanding,
		HeartbeatMs:         b.heartbeatRetry,
		DeregisterMs:        b.heartbeatDeregister,
		Auth:                id,
		Cluster:             b.clusterName,
		Node:                b.clusterNode,
	})
	l.tell(c, l.notice)
}
