//go:build linux

package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/bench/proc"
)

// Several nodes: publishers and requesters are at the near one, subscribers and services at the far
// one, so that every message crosses. What carries it between them, the bus, is a process of its
// own where the nodes do not do that themselves. All of them are one server to the harness, whose
// CPU time and memory are the sums.

// busOf is the target that is the bus of a target's nodes; false: it cannot be several nodes.
// Servers of NATS speak to each other without one.
func busOf(target string) (bus string, ok bool) {
	switch {
	case loopsOf(target) > 0:
		return "nats", true
	case target == "centrifuge":
		return "redis", true
	}
	return "", target == "nats"
}

// nodesProcs is the least GOMAXPROCS of each server of several nodes. With one a goroutine that
// reads what another node has sent waits until the runtime takes its processor from a loop that
// waits in the kernel. A node takes twice its loops by itself.
const nodesProcs = 2

// startNodes starts fresh nodes of target, and their bus, and waits until they accept.
func (r *runner) startNodes(ctx context.Context, target, transport string) (p *process, err error) {
	var parts []*process
	defer func() {
		if err != nil {
			for _, part := range parts {
				part.stop()
			}
		}
	}()
	launched := func(target, transport string, port int, more ...string) (*process, error) {
		cmd, cleanup, err := r.command(target, transport, port)
		if err != nil {
			return nil, err
		}
		cmd.Args = append(cmd.Args, more...)
		one, err := launch(cmd, r.cpus, max(r.Procs, nodesProcs))
		if err != nil {
			cleanup()
			return nil, err
		}
		one.cleanup = cleanup
		one.at = r.place(transport, fmt.Sprintf("127.0.0.1:%d", port))
		parts = append(parts, one)
		return one, nil
	}
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	bus, _ := busOf(target)
	var between *process
	if bus != "" {
		if between, err = launched(bus, "tcp", ports[2]); err != nil {
			return nil, err
		}
		if err = between.ready(ctx, wireFor(bus, "tcp")); err != nil {
			return nil, err
		}
	}
	for i := range 2 {
		more := nodeArguments(target, i, ports[2], ports[3+i], ports[3+1-i])
		if _, err = launched(target, transport, ports[i], more...); err != nil {
			return nil, err
		}
	}
	nodes := parts[len(parts)-2:]
	for _, one := range nodes {
		if err = one.ready(ctx, wireFor(target, transport)); err != nil {
			return nil, err
		}
	}
	nodes[0].far, nodes[0].bus = nodes[1], between
	return nodes[0], nil
}

// nodeArguments are what makes a server one of two: the port of the bus, or its own for the other
// and the other's.
func nodeArguments(target string, index, bus, own, other int) []string {
	host := func(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
	switch target {
	case "nats":
		return []string{"-cluster", strconv.Itoa(own), "-routes", host(other)}
	case "centrifuge":
		return []string{"-redis", host(bus)}
	}
	return []string{
		"--set", "cluster.urls=nats://" + host(bus),
		"--set", "cluster.node=n" + strconv.Itoa(index),
	}
}

// freePorts picks n different ones.
func freePorts(n int) (ports []int, err error) {
	for len(ports) < n {
		port, err := proc.FreePort()
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

// findBus notes which program carries what crosses between nodes of a target.
func (r *runner) findBus(target string) (about string, err error) {
	bus, ok := busOf(target)
	if !ok || bus == "" {
		return "", nil
	}
	about, err = r.find(bus)
	return fmt.Sprintf(", of several nodes GOMAXPROCS=%d, over %s",
		max(r.Procs, nodesProcs), about), err
}

// placeOf is where a connection in a role belongs.
func (t *try) placeOf(r role) place {
	if far := t.server.far; far != nil && (r == subscriber || r == responder) {
		return far.at
	}
	return t.at
}

// settled waits until who was connected is heard by the others, and keeps who crosses.
func (t *try) settled(all []link) error {
	if t.server.far == nil {
		return t.crossing(all)
	}
	if err := t.reach(0, t.at, t.server.far.at); err != nil {
		return err
	}
	return t.reach(1, t.server.far.at, t.at)
}

// reach waits until a node knows what is subscribed to at another: one more subscription is made
// there, of which it is told last, and published to until something arrives.
func (t *try) reach(way int, from, to place) error {
	topic := "bench." + level("way", way)
	message := t.wire.appendPublish(nil, topic, payloadOf(t.payload))
	open := func(r role, at place, slot int) (*conn, error) {
		c, err := dial(at, t.wire, r, topic, slot, len(message))
		if err == nil {
			err = c.subscribe(t.wire, topic, slot)
		}
		return c, err
	}
	slot := len(t.loop.conns)
	listener, err := open(subscriber, to, slot)
	if err != nil {
		return err
	}
	defer listener.leave()
	speaker, err := open(publisher, from, slot+1)
	if err != nil {
		return err
	}
	defer speaker.leave()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if err := t.loop.ctx.Err(); err != nil {
			return err
		}
		if err := say(speaker.fd, speaker.outbound(message)); err != nil {
			return err
		}
		if await(listener.fd, unix.POLLIN, time.Now().Add(time.Millisecond)) == nil {
			return nil
		}
	}
	return fmt.Errorf("nothing crosses from %s to %s in %v", from.address, to.address, patience)
}

// used is CPU time in ns as the scheduler counts it: of all that serves, and of its parts where
// there are several nodes.
type used struct{ all, near, far, bus int64 }

func (p *process) used() (u used) {
	u.near = p.cpu()
	if p.far != nil {
		u.far = p.far.cpu()
	}
	if p.bus != nil {
		u.bus = p.bus.cpu()
	}
	u.all = u.near + u.far + u.bus
	return u
}

// spent keeps what was used for count messages since before.
func (t *try) spent(before used, count int) {
	if t.server.pid == 0 {
		return
	}
	now := t.server.used()
	of := func(metric string, ns int64) {
		t.figure(metric, "ns", false, float64(ns)/float64(count))
	}
	of(metricCPU, now.all-before.all)
	if t.server.far != nil {
		of(metricNear, now.near-before.near)
		of(metricFar, now.far-before.far)
	}
	if t.server.bus != nil {
		of(metricBus, now.bus-before.bus)
	}
}
