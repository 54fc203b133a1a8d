package blackbox

import (
	"strconv"
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

// takeStream reads numbers, which only rise, and what is told to be lost, until as many as were published
// are accounted for.
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
	sent := func() (n uint64) {
		for _, p := range nodes[0].cluster().Peers {
			if p.Name == "b" {
				n = p.Sent + p.Dropped
			}
		}
		return n
	}
	stood.takeStream("x.y", int(sent()))
}
