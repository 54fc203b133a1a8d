package blackbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

// What a node that drains is done to while it does. shutdown.delay is skipped or short here, since
// the tests have asked /readyz.

// prompt are settings of a node that drains at once, within a second.
var prompt = []string{"shutdown.delay=0", "shutdown.spread=500", "shutdown.timeout=12000"}

// perSome runs a test with a fresh node for some pairs that have every transport on each side but
// one: what they are about takes seconds.
func perSome(t *testing.T, settings []string, test func(t *testing.T, n *node, from, to string)) {
	t.Parallel()
	for _, pair := range [][2]string{{overTCP, overWS}, {overWS, overTLS}, {overWSS, overTCP}} {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			t.Parallel()
			test(t, startNode(t, settings...), pair[0], pair[1])
		})
	}
}

// awaitSlot takes the notice that the client is to go, behind whatever else has come.
func (c *client) awaitSlot() (slot time.Duration) {
	c.t.Helper()
	m := c.await("the notice of the drain", func(m message) bool {
		return m.head() == "publish:system.drain:1.0.0"
	})
	var notice struct{ ReconnectAfterMs, DeadlineMs int64 }
	if err := json.Unmarshal(m.Payload, &notice); err != nil {
		c.t.Fatalf("%v: %v", m, err)
	}
	return time.Duration(notice.ReconnectAfterMs) * time.Millisecond
}

// endsInOrder takes what comes until the node ends the connection: 1001, or the end of the stream.
func (c *client) endsInOrder() (messages []message) {
	c.t.Helper()
	for {
		m, err := c.tryFresh()
		if err == nil {
			messages = append(messages, m)
			continue
		}
		if !inOrder(err) {
			c.t.Errorf("over %s the connection ended with %v", c.transport, err)
		}
		_ = c.peer.Close()
		return messages
	}
}

func inOrder(err error) bool {
	return err == io.EOF || websocket.CloseStatus(err) == websocket.StatusGoingAway
}

// refusedAs finds errors among messages.
func refusedAs(messages []message) (reasons []string) {
	for _, m := range messages {
		if strings.HasPrefix(string(m.Payload), `{"error"`) {
			reasons = append(reasons, string(m.Payload))
		}
	}
	return reasons
}

// Whoever was welcomed while all arrive at once is told when to go, and ended in order.
func TestDrainAttack_MassConnect(t *testing.T) {
	t.Parallel()
	n := startNode(t, prompt...)
	var arriving sync.WaitGroup
	var mu sync.Mutex
	welcomed, untold := 0, 0
	ends := make(map[string]int)
	for i := range 16 {
		transport := []string{overTCP, overWS}[i%2]
		arriving.Go(func() {
			for range 200 {
				p, err := n.connect(transport)
				if err != nil {
					return // It is refused, or there is nobody.
				}
				arriving.Go(func() {
					defer p.Close() //nolint:errcheck // it has ended
					count, told := 0, false
					for {
						f, err := p.Recv(time.Now().Add(patience))
						if err != nil {
							mu.Lock()
							defer mu.Unlock()
							if count > 0 && !told {
								untold++
							}
							if count > 0 && !inOrder(err) {
								ends[err.Error()]++
							}
							return
						}
						text := string(f.data)
						if strings.HasPrefix(text, "publish:system.initialize:") {
							mu.Lock()
							welcomed++
							mu.Unlock()
							count++
						}
						told = told || strings.HasPrefix(text, "publish:system.drain:")
					}
				})
			}
		})
	}
	eventually(t, "some are there", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return welcomed > 300
	})
	n.ends(0)
	arriving.Wait()
	if untold > 0 || len(ends) > 0 {
		t.Errorf("of %d that were welcomed %d were not told, and ended otherwise: %v",
			welcomed, untold, ends)
	}
}

// A second signal ends the node at once, whatever it waits for, with exit code 1.
func TestDrainAttack_SecondSignal(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string][]string{
		"in the delay": {"shutdown.delay=20000", "shutdown.timeout=30000"},
		"in the slots": {"shutdown.delay=0", "shutdown.spread=20000", "shutdown.timeout=30000"},
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, settings...)
			c, s := n.dial(t, overTCP), n.dial(t, overTCP)
			s.subscribe("request", "second.signal")
			c.send("request:second.signal:1.0.0:"+idA+"::600000", "x")
			s.expect("request:second.signal:1.0.0:*")
			n.terminate()
			time.Sleep(400 * time.Millisecond) // a bounce of the first lasts a quarter of a second
			again := time.Now()
			if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			n.ends(1)
			if took := time.Since(again); took > 5*time.Second {
				t.Errorf("the second signal took %v", took)
			}
		})
	}
}

// A reload in the middle changes nothing of the drain.
func TestDrainAttack_Reload(t *testing.T) {
	t.Parallel()
	path := written(t, "node.yaml", "rate.limit.global.per.topic: 100000\n")
	n := launchNode(t, launch{config: path, settings: prompt})
	c, s := n.dial(t, overTCP), n.dial(t, overWS)
	s.subscribe("request", "re.load")
	c.send("request:re.load:1.0.0:"+idA, "x")
	masked := s.expect("request:re.load:1.0.0:*").ID
	n.terminate()
	c.awaitSlot()
	err := os.WriteFile(path, []byte("rate.limit.global.per.topic: 200000\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reload is told", func() bool {
		return strings.Contains(n.out.String(), "configuration")
	})
	s.send("response:re.load:1.0.0:"+masked, "y")
	c.await("the answer", func(m message) bool { return m.ID == idA && string(m.Payload) == "y" })
	c.endsInOrder()
	s.endsInOrder()
	n.ends(0)
}

// Who stays at its slot and asks on is answered as ever while it has the grace, and holds nobody
// up for longer than that and two seconds.
func TestDrainAttack_IgnoresTheSlot(t *testing.T) {
	settings := append([]string{"shutdown.grace=600"}, prompt...)
	perSome(t, settings, func(t *testing.T, n *node, from, to string) {
		c, s := n.dial(t, from), n.dial(t, to)
		s.subscribe("request", "ignores.slots")
		go serveEcho(s)
		n.terminate()
		slot := c.awaitSlot()
		told, refusals := time.Now(), 0
		c.send("request:ignores.slots:1.0.0:"+uuid.NewString()+"::60000", "0")
		c.send("request:ignores.slots:1.0.0:"+uuid.NewString()+"::60000", "1")
		for i := 2; ; i++ { // Something is outstanding all the time.
			m, err := c.tryFresh()
			if err != nil {
				if !inOrder(err) {
					t.Errorf("it ended with %v", err)
				}
				break
			}
			if strings.Contains(string(m.Payload), `"draining"`) {
				refusals++
				// All times are whole milliseconds.
				early := slot + 600*time.Millisecond - time.Since(told)
				if early > 5*time.Millisecond {
					t.Fatalf("refused %v before the end of the grace", early)
				}
			}
			head := "request:ignores.slots:1.0.0:" + uuid.NewString() + "::60000"
			_ = c.peer.Send([]byte(head + "\n" + fmt.Sprint(i))) // it may just end
		}
		if stayed := time.Since(told) - slot; stayed > 10*time.Second {
			t.Errorf("it stayed for %v after its slot", stayed)
		}
		_ = c.peer.Close()
		n.ends(-1)
	})
}

// serveEcho answers requests with their payload, 5 ms later, until the connection ends.
func serveEcho(s *client) {
	for {
		m, err := s.tryFresh()
		if err != nil {
			_ = s.peer.Close()
			return
		}
		if m.Action == "request" && m.Topic != "system.heartbeat" {
			time.Sleep(5 * time.Millisecond)
			_ = s.peer.Send(fmt.Appendf(nil, "response:%s:1.0.0:%s\n%s", m.Topic, m.ID, m.Payload))
		}
	}
}

// Who is behind at its slot gets what waits for it, as long as it reads.
func TestDrainAttack_SlowReader(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{overTCP, overWS} {
		t.Run(transport, func(t *testing.T) {
			n := startNode(t, append([]string{"connection.outbound.bytes=4194304"}, prompt...)...)
			slow := n.narrow(t, transport)
			slow.subscribe("publish", "slow.one")
			from := n.dial(t, overTCP)
			dropped := from.flood(always("slow.one"), 0, 1000)
			n.terminate()
			from.awaitSlot()
			from.endsInOrder()
			time.Sleep(700 * time.Millisecond) // its slot is behind it
			got := 0
			for _, m := range slow.endsInOrder() {
				if m.Topic == "slow.one" {
					got++
				}
			}
			if got != 1000-dropped {
				t.Errorf("it got %d of %d", got, 1000-dropped)
			}
			n.ends(0)
		})
	}
}

// A service that is the only one serves until nobody is left to ask: nothing is refused, nothing
// finds no route.
func TestDrainAttack_OnlyService(t *testing.T) {
	perSome(t, prompt, func(t *testing.T, n *node, from, to string) {
		s := n.dial(t, to)
		s.subscribe("request", "only.one")
		served := make(chan struct{})
		go func() {
			defer close(served)
			serveEcho(s)
		}()
		var asking sync.WaitGroup
		for range 5 {
			c := n.dial(t, from)
			asking.Go(func() {
				defer c.peer.Close() //nolint:errcheck // it has ended
				for {
					id := uuid.NewString()
					if c.peer.Send([]byte("request:only.one:1.0.0:"+id+"\nx")) != nil {
						return
					}
					for answered := false; !answered; {
						m, err := c.tryFresh()
						if err != nil {
							if !inOrder(err) {
								t.Errorf("it ended with %v", err)
							}
							return
						}
						answered = m.ID == id
						if answered && string(m.Payload) != "x" {
							t.Errorf("answered with %v", m)
						}
					}
				}
			})
		}
		time.Sleep(50 * time.Millisecond) // they ask
		n.ends(0)
		asking.Wait()
		<-served
	})
}

// Requests that wait for a service with room are served, not refused.
func TestDrainAttack_Queue(t *testing.T) {
	perSome(t, prompt, func(t *testing.T, n *node, from, to string) {
		s, c := n.dial(t, to), n.dial(t, from)
		s.ok("system.service.register", `{"name":"one","description":"at once","maxConcurrent":1}`)
		s.subscribe("request", "in.queue")
		const requests = 30
		for i := range requests {
			c.send(fmt.Sprintf("request:in.queue:1.0.0:%s::60000", uuid.NewString()), fmt.Sprint(i))
		}
		eventually(t, "they wait", func() bool {
			return n.counter(t, "mb_requests_queued") == requests-1
		})
		n.terminate()
		c.awaitSlot()
		time.Sleep(700 * time.Millisecond) // all slots are over
		go serveEcho(s)
		messages := c.endsInOrder()
		if wrong := refusedAs(messages); len(wrong) > 0 || len(messages) != requests {
			t.Errorf("%d of %d answered, %d refused: %.200q",
				len(messages)-len(wrong), requests, len(wrong), wrong)
		}
		n.ends(0)
	})
}

// Who ends its own side at its slot still gets the answers to what it has asked.
func TestDrainAttack_HalfClose(t *testing.T) {
	t.Parallel()
	n := startNode(t, prompt...)
	s, c := n.dial(t, overWS), n.dial(t, overTCP)
	s.subscribe("request", "half.closed")
	c.send("request:half.closed:1.0.0:"+idA+"::60000", "x")
	masked := s.expect("request:half.closed:1.0.0:*").ID
	n.terminate()
	time.Sleep(c.awaitSlot())
	if err := c.peer.(*tcpPeer).conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // the node has seen it
	s.send("response:half.closed:1.0.0:"+masked, "y")
	if m := c.endsInOrder(); len(m) != 1 || m[0].ID != idA || string(m[0].Payload) != "y" {
		t.Errorf("got %v", m)
	}
	s.endsInOrder()
	n.ends(0)
}

// Who does not close its side when it is told that the node does holds nobody up for long, and
// nothing of it was cut.
func TestDrainAttack_StaysOpen(t *testing.T) {
	t.Parallel()
	n := startNode(t, prompt...)
	for _, transport := range []string{overTCP, overTLS} {
		n.dial(t, transport)
	}
	dialRaw(t, n.ws).write([]byte(upgradeHead))
	eventually(t, "all are there", func() bool { return n.counter(t, "mb_connections") == 3 })
	if took := n.ends(0); took > 8*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// Whoever asks and publishes without a pause is closed in the middle of it: what reached a service
// or a subscriber was answered before, all of it.
func TestDrainAttack_Pipelined(t *testing.T) {
	perSome(t, prompt, func(t *testing.T, n *node, from, to string) {
		s, reader := n.dial(t, to), n.dial(t, to)
		s.subscribe("request", "pipe.line")
		reader.subscribe("publish", "pipe.line")
		var others sync.WaitGroup
		var mu sync.Mutex
		arrived, answered := make(map[string]bool), make(map[string]bool)
		note := func(in map[string]bool, what string) {
			mu.Lock()
			defer mu.Unlock()
			in[what] = true
		}
		others.Go(func() {
			for {
				m, err := s.tryFresh()
				if err != nil {
					_ = s.peer.Close()
					return
				}
				if m.Topic == "pipe.line" {
					note(arrived, string(m.Payload))
					_ = s.peer.Send(fmt.Appendf(nil, "response:pipe.line:1.0.0:%s\nx", m.ID))
				}
			}
		})
		others.Go(func() {
			for _, m := range reader.endsInOrder() {
				if m.Topic == "pipe.line" {
					note(arrived, string(m.Payload))
				}
			}
		})
		for range 4 {
			c := n.dial(t, from)
			others.Go(func() {
				for { // The payload is the ID.
					id, action := uuid.NewString(), "request"
					if id[0] < '8' {
						action = "publish"
					}
					if c.peer.Send([]byte(action+":pipe.line:1.0.0:"+id+"\n"+id)) != nil {
						return
					}
					time.Sleep(time.Millisecond / 2)
				}
			})
			others.Go(func() {
				for _, m := range c.endsInOrder() {
					note(answered, m.ID)
				}
			})
		}
		time.Sleep(50 * time.Millisecond) // they are at it
		n.ends(0)
		others.Wait()
		lost := 0
		for id := range arrived {
			if !answered[id] {
				lost++
			}
		}
		if lost > 0 || len(arrived) == 0 {
			t.Errorf("of %d that arrived %d were never answered", len(arrived), lost)
		}
	})
}

// What has come before a client's slot is served, though the node had no time to read it: here the
// whole process stands still, as one does whose machine has other things to do.
func TestDrainAttack_StandsStill(t *testing.T) {
	perSome(t, prompt, func(t *testing.T, n *node, from, to string) {
		s := n.dial(t, to)
		s.subscribe("request", "stood.still")
		var clients []*client
		for range 40 {
			clients = append(clients, n.dial(t, from))
		}
		n.terminate()
		s.awaitSlot() // it is told last
		if err := n.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		id := uuid.NewString()
		sent := 0
		for _, c := range clients {
			if c.peer.Send([]byte("request:stood.still:1.0.0:"+id+"::60000\nx")) == nil {
				sent++ // unless its slot was the first
			}
		}
		time.Sleep(700 * time.Millisecond) // all slots are over
		if err := n.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		go serveEcho(s)
		lost := 0
		for _, c := range clients {
			answered := false
			for _, m := range c.endsInOrder() {
				answered = answered || m.ID == id && string(m.Payload) == "x"
			}
			if !answered {
				lost++
			}
		}
		// Those whose slots came before the process stood still.
		if before := 4; lost > before {
			t.Errorf("of %d requests that had come %d were thrown away", sent, lost)
		}
		n.ends(0)
	})
}
