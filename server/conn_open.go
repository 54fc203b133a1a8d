package server

import (
	"context"
	"log/slog"
	"mbserver/codec"
	"net"
)

// arrival is a connection that passed the door.
type arrival struct {
	transport transport
	remote    *net.TCPAddr
	rest      []byte // what came after the handshake
	opened    bool   // set by the loop; read by the door after the hand-over
}

// open makes a connection of an arrival that passed the door.
func (l *loop) open(a *arrival, sock Socket) *conn {
	var slot uint32
	if n := len(l.free); n > 0 {
		slot = l.free[n-1]
		l.free = l.free[:n-1]
	} else {
		slot = uint32(len(l.conns))
		l.conns = append(l.conns, nil)
		l.gens = append(l.gens, 0)
	}
	c := &conn{sock: sock}
	c.service.id = l.newID()
	c.loop = l
	c.service.slot = slot
	c.service.gen = l.gens[slot]
	c.service.transport = a.transport
	c.service.connectedAt = l.time.Unix
	c.service.remote = a.remote
	c.capacity.Store(l.node.perService)
	c.lastSeen.Store(l.time.Unix)
	c.heard = l.time.Ms
	if a.transport == transportWS {
		c.dec = codec.NewWSDecoder(l.node.maxFrame, false)
	} else {
		c.dec = codec.NewTCPDecoder(l.node.maxFrame)
	}
	l.conns[slot] = c
	l.node.registry.add(&c.service)
	l.tally[countRegistration]++
	l.node.stats.connected.add(l.time.sec())
	c.timer.Owner = c
	c.armHeartbeat()
	l.sendInitialize(c)
	if l.log.Enabled(context.Background(), slog.LevelInfo) {
		l.log.Info("connected", "serviceId", c.id.String(), "transport", c.transport.String(), "remote", c.remote.String())
	}
	return c
}
