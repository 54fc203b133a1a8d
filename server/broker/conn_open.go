package broker

import (
	"context"
	"log/slog"
	"net/netip"

	"mbserver/codec"
	"mbserver/server/metrics"
	"mbserver/server/system"
)

// Arrival is a connection that passed the door.
type Arrival struct {
	Transport Transport
	Remote    netip.AddrPort
	Answer    []byte // the door's to the handshake: goes out before all else
	Rest      []byte // what came after the handshake
}

// Open makes a connection of an arrival; nil means that a fault of ours prevented it. Its rest is
// still to be received. Loop only.
func (l *Loop) Open(a *Arrival, sock Socket) (c *Conn) {
	l.begin()
	l.guard(nil, func() { c = l.open(a, sock) })
	return c
}

func (l *Loop) open(a *Arrival, sock Socket) *Conn {
	var slot uint32
	if n := len(l.free); n > 0 {
		slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		slot = uint32(len(l.conns))
		l.conns = append(l.conns, nil)
		l.gens = append(l.gens, 0)
	}
	c := &Conn{sock: sock}
	c.service.id = l.newID()
	c.loop = l
	c.service.slot = slot
	c.service.gen = l.gens[slot]
	c.service.transport = a.Transport
	c.service.connectedAt = l.time.Unix
	c.service.remote = a.Remote
	c.capacity.Store(l.broker.perService)
	c.lastSeen.Store(l.time.Unix)
	c.heard = l.time.Ms
	if a.Transport == TransportWS {
		c.dec = codec.NewWSDecoder(l.broker.maxFrame, false)
	} else {
		c.dec = codec.NewTCPDecoder(l.broker.maxFrame)
	}
	l.conns[slot] = c
	l.broker.registry.add(&c.service)
	l.counts[metrics.Registrations]++
	l.broker.Arrivals.Connected.Add(l.time.sec())
	c.timer.Owner = c
	c.armHeartbeat()
	if len(a.Answer) > 0 {
		l.sendRaw(c, a.Answer)
	}
	l.welcome(c)
	if l.log.Enabled(context.Background(), slog.LevelInfo) {
		l.log.Info("connected", "serviceId", c.id.String(),
			"transport", c.transport.String(), "remote", c.remote.String())
	}
	return c
}

// welcome greets a new connection (protocol §4).
func (l *Loop) welcome(c *Conn) {
	b := l.broker
	l.notice = system.AppendInitialize(l.notice[:0], &system.Welcome{
		ServiceID:           c.id,
		NodeID:              b.id,
		Version:             b.version,
		PayloadBytes:        b.payloadMax,
		TimeoutMs:           b.timeoutMaxMs,
		OutstandingRequests: b.maxOutstanding,
		HeartbeatMs:         b.heartbeatRetry,
		DeregisterMs:        b.heartbeatDeregister,
	})
	l.send(c, l.notice, nil, true)
}
