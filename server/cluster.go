package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"math"
	"time"

	"mbserver/server/backplane"
	"mbserver/server/broker"
	"mbserver/server/config"
)

// What waits for other nodes, or comes from them and waits, is charged to memory.limit, of which
// each has a part at most: 1/outboundShare for what waits for the bus, 1/repairShare for what is
// kept of what was sent, as much for what waits because something misses before it,
// 1/pendingShare for what the bus has brought, and 1/heardShare for what other nodes tell of
// themselves: as much as for what connections have the node remember.
const (
	outboundShare = 8
	repairShare   = 16
	pendingShare  = 8
	heardShare    = 8
)

// newPlane joins a broker to others over NATS, as the configuration says; nil: the node is alone.
// Nothing is sent before joinCluster.
func newPlane(cfg *config.Config, b *broker.Broker, o Options) (*backplane.Plane, error) {
	c := &cfg.Cluster
	if len(c.URLs) == 0 {
		return nil, nil
	}
	lanes := len(b.Loops())
	share := func(of int) int { return int(min(int64(cfg.Memory.Limit)/int64(of), math.MaxInt)) }
	bus, err := backplane.Dial(backplane.NATS{
		URLs: c.URLs, Name: "mb-server " + c.NodeName(),
		Credentials: c.Credentials, NKey: c.NKey, User: c.User, Password: c.Password,
		Token: c.Token, CA: c.TLS.CA, Cert: c.TLS.Cert, Key: c.TLS.Key,
		Lanes: lanes, Payload: cfg.MaxFrame(), Pending: share(pendingShare), Log: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	node := b.ClusterNode()
	p, err := backplane.New(backplane.Options{
		Cluster: c.Name, Node: c.NodeName(), Incarnation: incarnation(), Lanes: lanes,
		Heartbeat: c.Heartbeat, AckTimeout: c.AckTimeout,
		OutboundBytes: min(c.OutboundBytes, share(outboundShare*lanes)),
		RepairBytes:   min(c.RepairBytes, share(repairShare*lanes)),
		HeardBytes:    int64(share(heardShare)),
		InterestMax:   c.InterestMax, MinPeers: c.MinPeers,
		Server: o.Version, ID: b.ID().String(), Log: o.Logger,
	}, node, bus)
	if err != nil {
		return nil, err
	}
	b.JoinCluster(p, c.Name, c.NodeName(), c.AckTimeout)
	return p, nil
}

// incarnation names this run of the node: later ones have greater numbers, as far as clocks tell.
func incarnation() uint64 {
	var random [2]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	return uint64(time.Now().UnixMilli())<<16 | uint64(binary.LittleEndian.Uint16(random[:]))
}

// joinCluster begins to speak with other nodes, and waits for a moment until it is known what they
// want: who connects from then on reaches all of them.
func (n *Node) joinCluster() error {
	if n.plane == nil {
		return nil
	}
	if err := n.plane.Start(); err != nil {
		return err
	}
	n.plane.Joined(context.Background())
	return nil
}
