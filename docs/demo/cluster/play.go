package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"mbserver/client"
)

// demo is one run.
type demo struct {
	rate   int
	look   time.Duration
	screen *screen
	stage  *stage

	// What the board shows. Guarded by shown; written by main's goroutine.
	shown       sync.Mutex
	publisher   *publisher
	subscribers []*subscriber
	asking      *questions

	questions *questions    // main's goroutine's
	quiet     chan struct{} // closed to have the passengers end
	silent    chan struct{} // closed when they have

	stop     chan struct{} // closed to have the publisher end
	finished chan error    // of the publisher
}

// run plays all scenes, and says whether everything adds up.
func (d *demo) run(ctx context.Context) (good bool, err error) {
	if d.stage.folder, err = os.MkdirTemp("", "mb-demo-"); err != nil {
		return false, err
	}
	watching, end := context.WithCancel(ctx)
	watched := make(chan struct{})
	close(watched)
	defer func() {
		end()
		<-watched
		d.screen.end()
		endAll(d.stage.all)
		if failed := os.RemoveAll(d.stage.folder); err == nil {
			err = failed
		}
		if err == nil {
			good = d.summary()
			good = d.sumQuestions() && good
		}
	}()
	if err := d.stage.prepare(); err != nil {
		return false, err
	}
	d.screen.begin(d.board)
	watched = make(chan struct{})
	go func() {
		defer close(watched)
		d.stage.watch(watching)
	}()
	for _, scene := range []func(context.Context) error{
		d.nodesStart, d.flightsFlow, d.desksAnswer, d.deskDies, d.nodeDies, d.questionsEnd,
		d.nodeReturns, d.busDies, d.flightsEnd,
	} {
		if err := scene(ctx); err != nil {
			return false, errors.Join(err, d.hangUp())
		}
	}
	return true, d.hangUp()
}

// say tells what happens.
func (d *demo) say(format string, arguments ...any) {
	d.screen.say(fmt.Sprintf(format, arguments...))
}

// scene says what is done, and why.
func (d *demo) scene(title, why string) { d.screen.title(title, why) }

// nodesStart starts NATS, the nodes and the balancer.
func (d *demo) nodesStart(ctx context.Context) error {
	s := d.stage
	d.scene("Three nodes start",
		"They find one another over NATS, and are one broker from then on.")
	if err := s.startNATS(ctx); err != nil {
		return err
	}
	d.say("nats-server runs (process %d)", s.nats.cmd.Process.Pid)
	for _, n := range s.nodes {
		if err := n.start(s); err != nil {
			return err
		}
		d.say("mb-server %s starts (process %d)", n.name, n.process.cmd.Process.Pid)
	}
	if err := await(ctx, "three nodes know one another", s.whole); err != nil {
		return err
	}
	d.say("each knows the two others, and is ready")
	p, err := s.startHAProxy(ctx)
	if err != nil {
		return err
	}
	d.say("haproxy runs (process %d): clients know only %s", p.cmd.Process.Pid, s.front)
	return nil
}

// dial connects a client through the balancer.
func (d *demo) dial(
	ctx context.Context, name string, more ...client.Option,
) (*client.Client, error) {
	return client.Dial(ctx, d.stage.front, append([]client.Option{
		client.WithName(name), client.WithReconnect(50*time.Millisecond, 500*time.Millisecond, 0),
		client.OnDisconnect(func(error) {}), client.OnReconnect(func(client.Renewal) {}),
		client.OnError(func(*client.Error) {}),
	}, more...)...)
}

// join connects a subscriber. first is the number of the first flight that it must get, -1 when it
// comes later: then that is whichever comes first.
func (d *demo) join(ctx context.Context, name string, first int) (*subscriber, error) {
	s := &subscriber{name: name, first: first}
	s.next = max(first, 0)
	c, err := d.dial(ctx, name, client.OnGap(s.lost),
		client.OnDisconnect(func(error) { s.parted() }),
		client.OnReconnect(func(client.Renewal) { s.returned() }))
	if err != nil {
		return nil, err
	}
	s.client = c
	if _, err = c.Subscribe(ctx, "flights.#", s.take); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return s, nil
}

// where is the node that a client is connected to.
func (d *demo) where(c *client.Client) string { return d.stage.nameOf(c.NodeID()) }

// flightsFlow connects three subscribers and the publisher.
func (d *demo) flightsFlow(ctx context.Context) error {
	d.scene("Flights flow", "The balancer gives each client a node. A publish at one "+
		"reaches the\nsubscribers at all.")
	for _, name := range []string{"Ada", "Bob", "Cleo"} {
		s, err := d.join(ctx, name, 0)
		if err != nil {
			return err
		}
		d.show(s)
		d.say("%s subscribes to flights.# at node %s", name, d.where(s.client))
	}
	flights, err := readFlights()
	if err != nil {
		return err
	}
	c, err := d.dial(ctx, "publisher")
	if err != nil {
		return err
	}
	d.shown.Lock()
	d.publisher = &publisher{client: c, flights: flights}
	d.shown.Unlock()
	d.stop, d.finished = make(chan struct{}), make(chan error, 1)
	d.say("the publisher is at node %s: %d flights a second", d.where(c), d.rate)
	go func() {
		err := d.publisher.run(ctx, d.rate, d.stop)
		// When a program has ended, that is the better reason, and known in a moment.
		if err != nil && rest(ctx, time.Second) == nil {
			d.stage.fail(err)
		}
		d.finished <- err
	}()
	return rest(ctx, d.look)
}

// victim is a node that has a subscriber, and not the publisher.
func (d *demo) victim() (n *node, at []*subscriber) {
	home := d.where(d.publisher.client)
	for _, n := range d.stage.nodes {
		at = nil
		for _, s := range d.subscribers {
			if d.where(s.client) == n.name {
				at = append(at, s)
			}
		}
		if n.name != home && len(at) > 0 {
			return n, at
		}
	}
	return nil, nil
}

// nodeDies kills a node.
func (d *demo) nodeDies(ctx context.Context) error {
	n, at := d.victim()
	if n == nil {
		return errors.New("the balancer has sent everybody to one node")
	}
	d.scene("Node "+n.name+" dies", "Its clients go to the others, through the balancer. What was "+
		"published\nmeanwhile they have missed, and know it.")
	var k *desk // that is there
	for _, one := range d.questions.desks {
		if gone, _ := one.seen(); !gone && d.where(one.client) == n.name {
			k = one
			k.note("its node was killed")
		}
	}
	began := time.Now()
	n.kill()
	d.say("mb-server %s is killed (SIGKILL)", n.name)
	for _, s := range at {
		if err := await(ctx, s.name+" is back", func() bool {
			a := s.account()
			return !a.gone && !a.hole
		}); err != nil {
			return err
		}
		d.say("%s has lost its connection, and is at node %s now: it has missed %d flights",
			s.name, d.where(s.client), s.account().away)
	}
	if err := await(ctx, "the others notice", func() bool {
		for _, other := range d.stage.nodes {
			if _, live, _, _ := other.seen(); other != n && live != len(d.stage.nodes)-2 {
				return false
			}
		}
		return true
	}); err != nil {
		return err
	}
	d.say("the other nodes have noticed, within %.1f s: nothing is sent to it any more",
		time.Since(began).Seconds())
	if k == nil { // it has gone elsewhere by itself
		return rest(ctx, d.look)
	}
	return d.goOn(ctx, k)
}

// nodeReturns starts it again, and has somebody come to it.
func (d *demo) nodeReturns(ctx context.Context) error {
	var n *node
	for _, one := range d.stage.nodes {
		if _, _, _, killed := one.seen(); killed {
			n = one
		}
	}
	d.scene("Node "+n.name+" returns", "It listens when it knows what the others want. "+
		"Nobody has to be told.")
	began := time.Now()
	if err := n.start(d.stage); err != nil {
		return err
	}
	d.say("mb-server %s starts (process %d)", n.name, n.process.cmd.Process.Pid)
	if err := await(ctx, "the nodes are whole again", d.stage.whole); err != nil {
		return err
	}
	d.say("it is ready after %.1f s, and known to the others", time.Since(began).Seconds())
	var s *subscriber
	err := await(ctx, "the balancer sends somebody to it", func() bool {
		one, err := d.join(ctx, "Dan", -1)
		if err != nil {
			return false
		}
		if d.where(one.client) != n.name {
			_ = one.client.Close() // the balancer has not seen it yet
			return false
		}
		s = one
		return true
	})
	if err != nil {
		return err
	}
	d.show(s)
	d.say("%s subscribes, too: the balancer sends newcomers to node %s again", s.name, n.name)
	return rest(ctx, d.look)
}

// busDies kills NATS, and starts it again.
func (d *demo) busDies(ctx context.Context) error {
	d.scene("NATS dies", "Each node goes on alone. What would have crossed is counted: "+
		"whoever\nmight have got it is told how much.")
	told := d.told()
	d.stage.nats.kill()
	d.say("nats-server is killed (SIGKILL)")
	if err := await(ctx, "the nodes notice", func() bool {
		for _, n := range d.stage.nodes {
			if _, _, island, _ := n.seen(); !island {
				return false
			}
		}
		return true
	}); err != nil {
		return err
	}
	d.say("each node knows that it is alone; only those at node %s get flights",
		d.where(d.publisher.client))
	if err := rest(ctx, d.look/2); err != nil {
		return err
	}
	began := time.Now()
	if err := d.stage.startNATS(ctx); err != nil {
		return err
	}
	d.say("nats-server runs again (process %d)", d.stage.nats.cmd.Process.Pid)
	if err := await(ctx, "the nodes are whole again", d.stage.whole); err != nil {
		return err
	}
	d.say("all is as before after %.1f s", time.Since(began).Seconds())
	if err := rest(ctx, d.look); err != nil {
		return err
	}
	for _, s := range d.subscribers {
		if now := s.account().told - told[s]; now > 0 {
			d.say("%s was told that %d flights did not come", s.name, now)
		}
	}
	return nil
}

// told is how many flights each was told to be lost.
func (d *demo) told() map[*subscriber]int {
	all := make(map[*subscriber]int)
	for _, s := range d.subscribers {
		all[s] = s.account().told
	}
	return all
}

// flightsEnd has the publisher end, and waits for what is on its way.
func (d *demo) flightsEnd(ctx context.Context) error {
	close(d.stop)
	if err := <-d.finished; err != nil {
		return err
	}
	published, _, _ := d.publisher.so()
	// When it does not come true the summary says so.
	_ = await(ctx, "the last flights", func() bool {
		for _, s := range d.subscribers {
			if !s.account().adds(published) {
				return false
			}
		}
		return true
	})
	return context.Cause(ctx)
}

// hangUp ends all clients.
func (d *demo) hangUp() (err error) {
	for _, s := range d.subscribers {
		err = errors.Join(err, s.client.Close())
	}
	if d.publisher != nil {
		err = errors.Join(err, d.publisher.client.Close())
	}
	if q := d.questions; q != nil {
		for _, k := range q.desks {
			err = errors.Join(err, k.client.Close())
		}
		if q.client != nil {
			err = errors.Join(err, q.client.Close())
		}
	}
	return err
}

// show adds a subscriber to those that are shown.
func (d *demo) show(s *subscriber) {
	d.shown.Lock()
	defer d.shown.Unlock()
	d.subscribers = append(d.subscribers, s)
}
