package backplane

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"mbserver/codec"
	"mbserver/server/abroad"
	"mbserver/topic"
)

// Broker is what a plane needs of the broker of its node. Any goroutine.
type Broker interface {
	// Join makes a slot stand for another node, which is subscribed to nothing yet.
	Join(slot uint32)
	// Named says by which ID clients know that node.
	Named(slot uint32, id string)
	// Want and Forget add a subscription of that node, and take one away.
	Want(slot uint32, p topic.Pattern)
	Forget(slot uint32, p topic.Pattern)
	// Part begins the end of that node: nothing is routed to it from here on. Its subscriptions
	// are taken away afterwards.
	Part(slot uint32)
	// Deliver gives a publish of another node, header line and payload, to who is subscribed to it
	// here; when receipt is not 0, Receipt of the plane is called with what became of it. One
	// goroutine at a time.
	Deliver(message []byte, slot uint32, receipt uint64)
	// Delivered ends a run of calls of Deliver.
	Delivered()
	// Lost tells who is subscribed to something that publishes of other nodes were lost, in order
	// with Deliver.
	Lost(publishes uint64)
	// Receipt says what became of a publish on another node.
	Receipt(of uint64, slot uint32, subscribers, dropped int)
	// Serve says that a service of that node takes requests, or is another than was said; Unserve
	// that it does not any more. Offer and Withdraw say what it takes requests of: it was said
	// before. They end with Part, too.
	Serve(slot uint32, s *abroad.Service)
	Unserve(slot uint32, id codec.UUID)
	Offer(slot uint32, o abroad.Offer, p topic.Pattern)
	Withdraw(slot uint32, o abroad.Offer, p topic.Pattern)
	// Asked takes a request of that node for a service here, Cancelled takes it back, Answered
	// takes its word of one of this node's, and Loaded of a service; Waited says that requests wait
	// there for a service here, or none does any more; Called ends a run of these. What they are
	// given is read while they run, and not kept. One goroutine at a time.
	Asked(slot uint32, q *abroad.Request)
	Cancelled(slot uint32, ref codec.UUID)
	Answered(slot uint32, a *abroad.Answer)
	Loaded(slot uint32, l abroad.Load)
	Waited(slot uint32, w abroad.Wait)
	Called()
	// Missed says that what that node was told of services here may not have arrived.
	Missed(slot uint32)
	// Standing is how many connections there are, and whether they are sent elsewhere.
	Standing() (connections int, draining bool)
}

// Options are what a plane is given.
type Options struct {
	Cluster, Node string        // ValidName
	Lanes         int           // as many as loops
	Heartbeat     time.Duration // between two heartbeats
	AckTimeout    time.Duration // for others to confirm a subscription
	OutboundBytes int           // of what one lane has for the bus
	RepairBytes   int           // of what it keeps of what it has sent; 0: no repair
	HeardBytes    int64         // of what others tell of themselves; 0: any
	InterestMax   int           // patterns
	MinPeers      int           // with fewer the node is isolated
	Server, ID    string        // said to others
	Log           *slog.Logger
	Incarnation   uint64               // greater than those of the node's earlier runs
	Now           func() time.Duration // a clock that never jumps; nil: the process's
}

// missed is after how many heartbeats that were not heard a node is gone.
const missed = 3

// Plane is a node's part in a cluster. Any goroutine, unless a method says otherwise.
type Plane struct {
	// Immutable after New.
	o        Options
	log      *slog.Logger
	broker   Broker
	bus      Bus
	from     string // what this node's subjects begin with
	ctl      *queue
	lanes    []*lane
	queues   []*queue // all that there is for the bus
	interest interest
	inward   inward
	calls    calls
	waits    waits
	receipts receipts

	// Atomic.
	links  [nodesMost]atomic.Pointer[link] // by slot
	alone  atomic.Bool                     // its own heartbeats do not come back: it is an island
	lonely atomic.Bool                     // it has fewer peers than it should
	lost   atomic.Uint64                   // publishes of others that did not arrive
	brings atomic.Int64                    // bytes that the bus has brought and that wait

	wake    chan struct{} // there are changes or receipts to send
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when the goroutine has ended
	closing sync.Once
	started atomic.Bool // run runs
	stepped bool        // it is of a simulation (stepped.go); immutable

	beatAt time.Duration // when the next heartbeat is due; of the goroutine only

	// Guarded by mu.
	mu       sync.Mutex
	nodes    map[nodeKey]*node
	slots    uint64        // of links: those that are taken
	nextSlot uint32        // the next to be taken
	epoch    uint64        // given last
	ticked   time.Duration // when the last tick was
	echoed   time.Duration // when the node's own heartbeat was heard last
	back     time.Duration // when it was heard again after it was not

	islandSince, lonelySince time.Duration // 0: it is not

	changes   []change // scratch of hear
	texts     []string // the same
	told      state    // the interest that others were told of
	gather    gatherer
	heard     heard
	rivals    map[uint64]time.Duration
	displaced bool // a newer node has this one's name: it has left the bus
	crowded   bool // that there are too many nodes was logged
}

// New makes a plane over a bus, which is the plane's from then on. Nothing is sent before Start.
func New(o Options, broker Broker, bus Bus) (*Plane, error) {
	p, err := newPlane(o, broker, bus)
	if err != nil {
		return nil, err
	}
	for _, q := range p.queues {
		go q.run()
	}
	return p, nil
}

// newPlane makes a plane without goroutines.
func newPlane(o Options, broker Broker, bus Bus) (*Plane, error) {
	if !ValidName(o.Cluster) || !ValidName(o.Node) {
		return nil, fmt.Errorf("cluster %q, node %q: no valid names", o.Cluster, o.Node)
	}
	if o.Now == nil {
		start := time.Now()
		o.Now = func() time.Duration { return time.Since(start) }
	}
	p := &Plane{
		o: o, log: o.Log.With("module", "cluster"), broker: broker, bus: bus,
		from: from(o.Cluster, o.Node, o.Incarnation),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
		nodes: make(map[nodeKey]*node), rivals: make(map[uint64]time.Duration),
		epoch: o.Incarnation,
	}
	p.alone.Store(true)
	p.lonely.Store(o.MinPeers > 0)
	p.heard = heard{most: o.HeardBytes, passed: make(map[string]*passedOver)}
	p.interest.init(o.InterestMax)
	p.inward.init(p)
	p.calls.init(p)
	p.ctl = newQueue(bus, control, o.OutboundBytes)
	p.queues = append(p.queues, p.ctl)
	for i := range o.Lanes {
		l := &lane{index: i, queue: newQueue(bus, i, o.OutboundBytes)}
		l.queue.kept.most = o.RepairBytes
		p.lanes = append(p.lanes, l)
		p.queues = append(p.queues, l.queue, p.calls.lanes[i].queue)
	}
	return p, nil
}

// Start begins to listen and to speak.
func (p *Plane) Start() error {
	if err := p.listen(); err != nil {
		return err
	}
	p.started.Store(true)
	go p.run()
	return nil
}

// listen has the bus bring what is for this node.
func (p *Plane) listen() error {
	base, me := prefix(p.o.Cluster)+"*.*.", p.o.Node
	err := p.bus.Listen([]string{base + me + ".ctl", base + all + ".ctl"}, p.receive)
	if err == nil {
		err = p.bus.Listen([]string{base + me + ".pub.*"}, p.inward.receive)
	}
	if err == nil {
		err = p.bus.Listen([]string{base + me + ".req.*"}, p.calls.receive)
	}
	return err
}

// Joined waits until the interest of every node that is heard stands here: the time of three
// heartbeats, when nobody is heard, and at most a second. A node is ready only then.
func (p *Plane) Joined(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	ticker := time.NewTicker(p.o.Heartbeat / 4)
	defer ticker.Stop()
	for began := p.o.Now(); ; {
		if p.joined(began) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if p.alone.Load() {
				p.log.Warn(goesOnAlone)
			}
			return
		}
	}
}

// joined says whether the interest of every node that is heard stands here, at a plane that has
// begun to listen at that time.
func (p *Plane) joined(began time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	missing := p.alone.Load()
	for _, n := range p.nodes {
		missing = missing || n.state == nodeHeard
	}
	return !missing && p.o.Now()-began >= missed*p.o.Heartbeat
}

const goesOnAlone = "the bus does not answer: this node goes on alone"

// Isolated says that fewer other nodes are there than there should be.
func (p *Plane) Isolated() bool { return p.lonely.Load() }

// Room says whether one more subscription to a pattern may be there.
func (p *Plane) Room(pattern string) bool { return p.interest.room(pattern) }

// Version is for Await: the version that has added a pattern to which somebody is subscribed.
func (p *Plane) Version(pattern string) uint64 { return p.interest.versionOf(pattern) }

// Subscribed notes that a subscription here has come. version is for Await.
func (p *Plane) Subscribed(pattern string) (version uint64) {
	version, begun := p.interest.change(pattern, 1)
	if begun {
		p.call()
	}
	return version
}

// Unsubscribed notes that one has gone.
func (p *Plane) Unsubscribed(pattern string) {
	if simfaultBuild && strikes(simKeptInterest) {
		return
	}
	if _, ended := p.interest.change(pattern, -1); ended {
		p.call()
	}
}

// call wakes the goroutine.
func (p *Plane) call() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run tells others what changes, and sends heartbeats.
func (p *Plane) run() {
	defer close(p.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.wake:
			p.flush()
		case <-timer.C:
		case <-p.stop:
			return
		}
		timer.Reset(max(p.keepTime()-p.o.Now(), 0))
	}
}

// keepTime does what the clock asks for, and says when it does so again.
func (p *Plane) keepTime() (next time.Duration) {
	now := p.o.Now()
	if now >= p.beatAt {
		if p.beatAt += p.o.Heartbeat; p.beatAt <= now {
			p.beatAt = now + p.o.Heartbeat
		}
		p.tick()
	}
	p.waits.expire(now)
	p.inward.expire(now)
	next = p.beatAt
	if at, any := p.inward.next(); any {
		next = min(next, at)
	}
	if at, any := p.waits.next(); any {
		next = min(next, at)
	}
	if at, any := p.tellGathered(now); any {
		next = min(next, at)
	}
	return next
}

// flush tells others what has changed, and gives them receipts.
func (p *Plane) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(p.o.Now())
	p.receipts.flush(p)
}

// Close tells the others that the node goes away, and ends the plane.
func (p *Plane) Close() {
	p.closing.Do(func() {
		close(p.stop)
		if p.started.Load() {
			<-p.stopped
			p.leave()
		}
		for _, q := range p.queues {
			q.close()
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for _, q := range p.queues {
				<-q.done
			}
		}()
		select {
		case <-sent:
		case <-time.After(closeTime): // the bus takes nothing: what waits is lost
		}
		p.bus.Close()
		<-sent
	})
}

// leave tells the others that the node goes away.
func (p *Plane) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.displaced {
		p.ctl.send(p.from+all+".ctl", p.farewell())
	}
}

// closeTime is how long a plane that ends has for what it has not sent.
const closeTime = time.Second
