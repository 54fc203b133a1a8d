package blackbox

import (
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// counting is a publisher that counts on, in a goroutine of its own.
type counting struct {
	stop chan struct{}
	done chan int // how many it has published
}

// publishOn publishes numbers from 0 on a topic until it is told to stop.
func publishOn(t *testing.T, n *node, topic string) *counting {
	t.Helper()
	c := n.dial(t, "tcp")
	s := &counting{make(chan struct{}), make(chan int, 1)}
	go func() {
		count := 0
		defer func() { s.done <- count }()
		for {
			select {
			case <-s.stop:
				return
			case <-time.After(time.Millisecond):
			}
			for range 20 {
				message := "publish:" + topic + ":1.0.0\n" + strconv.Itoa(count)
				if c.peer.Send([]byte(message)) != nil {
					return
				}
				count++
			}
		}
	}()
	return s
}

func (s *counting) end() int {
	close(s.stop)
	return <-s.done
}

// takeStream reads numbers, which only rise, and what is told to be lost, until as many as were
// published are accounted for.
func (c *client) takeStream(topic string, published int) (received, lost int) {
	c.t.Helper()
	for last := -1; received+lost < published; {
		m := c.recv()
		if m.Topic == "system.dropped" {
			o := m.object(c.t)
			count, _ := o["count"].(float64)
			lost += int(count)
			if o["reason"] != "cluster" || o["atMost"] != true {
				c.t.Fatalf("told %v", o)
			}
			continue
		}
		number, err := strconv.Atoi(string(m.Payload))
		if m.Topic != topic || err != nil || number <= last {
			c.t.Fatalf("%v after %d", m, last)
		}
		last = number
		received++
	}
	if received+lost != published {
		c.t.Errorf("%d received and %d lost, of %d", received, lost, published)
	}
	return received, lost
}

// What is lost when NATS is killed under load is told exactly, to all, and nothing comes twice.
func TestS12_BusKilledUnderLoad(t *testing.T) {
	t.Parallel()
	bus := startNATS(t)
	nodes := startCluster(t, bus, "a", "b", "c")
	readers := []*client{nodes[1].dial(t, "tcp"), nodes[2].dial(t, "ws")}
	for _, r := range readers {
		r.subscribe("publish", "x.#")
	}
	s := publishOn(t, nodes[0], "x.y")
	received := func() uint64 {
		p := nodes[1].cluster()
		return p.Peers[0].Received
	}
	eventually(t, "something crosses", func() bool { return received() > 500 })
	bus.kill()
	eventually(t, "something is lost", func() bool {
		return nodes[0].cluster().Island
	})
	before := received()
	bus.start()
	eventually(t, "something crosses again", func() bool { return received() > before+500 })
	all := s.end()
	for _, r := range readers {
		if got, lost := r.takeStream("x.y", all); got == 0 || lost == 0 {
			t.Errorf("%d received, %d lost", got, lost)
		}
	}
	for _, n := range nodes[1:] {
		n.awaitPeers(2)
	}
}

// A node that stands still for a while misses what is published then, and is told of what was sent
// to it; what it is not sent because it was taken for gone, it was not subscribed to.
func TestS12_NodeStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, startNATS(t), "a", "b", "c")
	stood, other := nodes[1].dial(t, "tcp"), nodes[2].dial(t, "tcp")
	stood.subscribe("publish", "x.#")
	other.subscribe("publish", "x.#")
	s := publishOn(t, nodes[0], "x.y")
	eventually(t, "something crosses", func() bool {
		return nodes[1].cluster().Peers[0].Received > 500
	})
	if err := nodes[1].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	nodes[0].awaitPeers(1)
	if err := nodes[1].cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	nodes[0].awaitPeers(2)
	all := s.end()
	if got, lost := other.takeStream("x.y", all); lost != 0 {
		t.Errorf("another node received %d, and lost %d", got, lost)
	}
	stood.takeStream("x.y", nodes[0].cluster().publishesFor("b"))
}

// publishesFor is how many publishes there were for a node.
func (p clusterPage) publishesFor(name string) (n int) {
	for _, peer := range p.Peers {
		if peer.Name == name {
			n = int(peer.Sent + peer.Dropped)
		}
	}
	return n
}

// wire is a way to an address that can be cut, or stand still in one direction.
type wire struct {
	listener net.Listener

	still sync.RWMutex // held while nothing comes from the address

	mu    sync.Mutex
	isCut bool
	conns []net.Conn
}

func wireTo(t *testing.T, address string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			w.mu.Lock()
			if err != nil || w.isCut {
				_ = near.Close()
				if far != nil {
					_ = far.Close()
				}
			} else {
				w.conns = append(w.conns, near, far)
				go func() { _, _ = io.Copy(gated{near, &w.still}, far) }()
				go func() { _, _ = io.Copy(far, near) }()
			}
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		w.cut(true)
	})
	return w
}

// gated is a writer that waits while its gate is held.
type gated struct {
	io.Writer
	gate *sync.RWMutex
}

func (g gated) Write(b []byte) (int, error) {
	g.gate.RLock()
	defer g.gate.RUnlock()
	return g.Writer.Write(b)
}

// stall has nothing come from the address, or all again.
func (w *wire) stall(is bool) {
	if is {
		w.still.Lock()
	} else {
		w.still.Unlock()
	}
}

// cut ends all that goes over the wire, and lets nothing over it, or something again.
func (w *wire) cut(is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = is
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

// A node whose way to NATS is cut is an island, and gone for the others; each side tells what it
// was sent and did not get, and both heal.
func TestS12_LinkCutUnderLoad(t *testing.T) {
	t.Parallel()
	bus := startNATS(t)
	w := wireTo(t, bus.address())
	a, c := startMember(t, bus, "a"), startMember(t, bus, "c")
	b := startMember(t, bus, "b", "cluster.urls=nats://"+w.listener.Addr().String())
	a.awaitPeers(2)
	b.awaitPeers(2)
	far, near := b.dial(t, "tcp"), c.dial(t, "tcp")
	far.subscribe("publish", "from.a")
	near.subscribe("publish", "from.+")
	fromA, fromB := publishOn(t, a, "from.a"), publishOn(t, b, "from.b")
	eventually(t, "something crosses", func() bool {
		p := c.cluster().Peers
		return p[0].Received > 300 && p[1].Received > 300
	})
	w.cut(true)
	eventually(t, "b is an island", func() bool { return b.cluster().Island })
	a.awaitPeers(1)
	w.cut(false)
	a.awaitPeers(2)
	b.awaitPeers(2)
	c.awaitPeers(2)
	fromA.end()
	fromB.end()
	far.takeStream("from.a", a.cluster().publishesFor("b"))
	all := a.cluster().publishesFor("c") + b.cluster().publishesFor("c")
	near.takeTwo(all)
}

// takeTwo is takeStream for those of two publishers, on topics of their own.
func (c *client) takeTwo(published int) {
	c.t.Helper()
	last := make(map[string]int)
	sum := 0
	for sum < published {
		m := c.recv()
		if m.Topic == "system.dropped" {
			count, _ := m.object(c.t)["count"].(float64)
			sum += int(count)
			continue
		}
		number, err := strconv.Atoi(string(m.Payload))
		if at, is := last[m.Topic]; err != nil || is && number <= at {
			c.t.Fatalf("%v after %d", m, at)
		}
		last[m.Topic] = number
		sum++
	}
	if sum != published || len(last) != 2 {
		c.t.Errorf("%d accounted for, of %d, on %d topics", sum, published, len(last))
	}
}
