package blackbox

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// Noise on both ports costs only the connection that makes it.
func TestResilience_Garbage(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	a, b := n.dial(t, overTCP), n.dial(t, overWS)
	b.subscribe("publish", "healthy")
	random := rand.New(rand.NewPCG(1, 2))
	prefixes := []string{
		"", "GET / HTTP/1.1\r\n", upgradeHead, "\x00\x00\x00\x20",
		"\x00\x00\x00\x10request:a.b:1.0", "\x16\x03\x01\x02\x00",
	}
	for i := range 240 {
		address := []string{n.tcp, n.ws}[i%2]
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			t.Fatal(err)
		}
		noise := make([]byte, random.IntN(3000))
		for j := range noise {
			noise[j] = byte(random.Uint32())
		}
		// The node may have closed already.
		_, _ = conn.Write(append([]byte(prefixes[i/2%len(prefixes)]), noise...))
		switch i % 3 {
		case 0:
			_ = conn.(*net.TCPConn).SetLinger(0)
		case 1:
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
				t.Errorf("connection %d: the node does not close after ours: %v", i, err)
			}
		}
		_ = conn.Close()
		a.send("publish:healthy:1.0.0", fmt.Sprint(i))
		b.expectPayload("publish:healthy:1.0.0:*", fmt.Sprint(i))
	}
	eventually(t, "the noise is gone", func() bool {
		return len(items(t, a.ok("system.service.list", ""), "services")) == 2
	})
	a.none()
	b.none()
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Subscribers that are reset or half closed in the middle of a fan-out do not disturb the others.
func TestResilience_ResetDuringFanOut(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	const count, victims, steady = 3000, 60, 4
	publisher := n.dial(t, overTCP)
	f := newFlow(500, steady)
	var wg sync.WaitGroup
	for i := range steady {
		c := n.dial(t, transports[i%2])
		c.subscribe("publish", "storm.#")
		wg.Add(1)
		go func() {
			defer wg.Done()
			_ = f.follow(c.peer, i, count) // the fault reaches the publisher
		}()
	}
	doomed := make([]*rawConn, victims)
	for i := range doomed {
		if i%2 == 0 {
			doomed[i] = dialRaw(t, n.tcp)
			p := newTCPPeer(doomed[i].conn)
			adopt(t, p, overTCP).subscribe("publish", "storm.test")
			continue
		}
		doomed[i] = dialRawWS(t, n)
		doomed[i].write(wsFrame(fin|opText, []byte("request:system.topic.subscribe:1.0.0:"+idA+
			"\n{\"action\":\"publish\",\"topic\":\"storm.test\"}")))
		doomed[i].frame()
	}
	filler := strings.Repeat("x", 700)
	for i := range count {
		if err := f.await(i); err != nil {
			t.Fatal(err)
		}
		publisher.send("publish:storm.test:1.0.0", fmt.Sprint(i, " ", filler))
		if i%40 != 0 || i/40 >= victims {
			continue
		}
		switch victim := doomed[i/40].conn; i / 40 % 4 {
		case 0, 1:
			_ = victim.SetLinger(0) // reset
			_ = victim.Close()
		case 2, 3:
			_ = victim.CloseWrite() // half closed, and it does not read
		}
	}
	wg.Wait()
	if err := f.await(0); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the victims are gone", func() bool {
		return len(items(t, publisher.ok("system.service.list", ""), "services")) == 1+steady
	})
	publisher.none()
}

// Thousands of connections come and go; nothing of them stays.
func TestResilience_Churn(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	watcher := n.dial(t, overTCP)
	for _, transport := range transports { // first use may open what stays open
		_ = n.dial(t, transport).peer.Close()
	}
	services := func() int {
		return len(items(t, watcher.ok("system.service.list", ""), "services"))
	}
	eventually(t, "one service", func() bool { return services() == 1 })
	baseline := n.descriptors()

	const total, workers = 2000, 20
	faults := make(chan error, workers)
	for w := range workers {
		go func() {
			var err error
			for i := w; i < total && err == nil; i += workers {
				err = visit(n, transports[i%2], i/2%4)
			}
			faults <- err
		}()
	}
	for range workers {
		if err := <-faults; err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "one service again", func() bool { return services() == 1 })
	eventually(t, "the descriptors are closed", func() bool { return n.descriptors() <= baseline })
	if got := watcher.ok("system.topic.list", "")["topics"].([]any); len(got) != 0 {
		t.Errorf("subscriptions stayed: %v", got)
	}
	watcher.none()
}

// visit connects, subscribes perhaps, and leaves in one of four manners.
func visit(n *node, transport string, manner int) error {
	p, err := n.connect(transport)
	if err != nil {
		return err
	}
	if manner == 0 { // without a look at system.initialize
		return abort(p)
	}
	if _, err := p.Recv(time.Now().Add(patience)); err != nil {
		return err
	}
	subscription := "request:system.topic.subscribe:1.0.0:" + idA + "\n" +
		`{"action":"both","topic":"visit.test"}`
	if err := p.Send([]byte(subscription)); err != nil {
		return err
	}
	if manner == 1 {
		return abort(p)
	}
	if _, err := p.Recv(time.Now().Add(patience)); err != nil {
		return err
	}
	if manner == 2 {
		return abort(p)
	}
	return p.Close()
}

// abort drops a connection without the transport's farewell.
func abort(p peer) error {
	switch p := p.(type) {
	case *wsPeer:
		return p.conn.CloseNow()
	case *tcpPeer:
		if c, ok := p.conn.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
		}
		return p.conn.Close()
	}
	return p.Close()
}

// Out of descriptors the node serves whom it has, and takes new ones when it can again.
func TestResilience_OutOfDescriptors(t *testing.T) {
	t.Parallel()
	n := launchNode(t, launch{files: 64})
	a, b := n.dial(t, overTCP), n.dial(t, overWS)
	a.subscribe("publish", "short.a")
	b.subscribe("publish", "short.b")
	before := n.descriptors()
	var hogs []net.Conn
	for i := range 120 {
		// The kernel's queue takes them all.
		conn, err := net.DialTimeout("tcp", []string{n.tcp, n.ws}[i%2], patience)
		if err != nil {
			t.Fatal(err)
		}
		hogs = append(hogs, conn)
		defer conn.Close()
	}
	eventually(t, "descriptors run short", func() bool { return n.descriptors() > before+10 })
	for i := range 300 {
		a.send("publish:short.b:1.0.0", fmt.Sprint(i))
		b.expectPayload("publish:short.b:1.0.0:*", fmt.Sprint(i))
		b.send("publish:short.a:1.0.0", fmt.Sprint(i))
		a.expectPayload("publish:short.a:1.0.0:*", fmt.Sprint(i))
	}
	for _, conn := range hogs {
		_ = conn.Close()
	}
	for _, transport := range transports {
		// One that is accepted while there is no descriptor for its loop is closed again:
		// served means greeted.
		eventually(t, "a new connection is served over "+transport, func() bool {
			p, err := n.connect(transport)
			if err != nil {
				return false
			}
			t.Cleanup(func() { _ = p.Close() })
			f, err := p.Recv(time.Now().Add(patience))
			if err != nil {
				return false
			}
			m, err := parseMessage(f)
			return err == nil && m.head() == "publish:system.initialize:1.0.0"
		})
	}
	eventually(t, "the hogs are gone", func() bool {
		return len(items(t, a.ok("system.service.list", ""), "services")) == 2+len(transports)
	})
	if size := len(n.out.String()); size > 1<<20 {
		t.Errorf("the node logged %d bytes about it", size)
	}
}

// A connection that takes over the descriptor number of one that was reset during a fan-out gets
// nothing that was meant for that one.
func TestResilience_DescriptorReuse(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	publisher, steady := n.dial(t, overTCP), n.dial(t, overTCP)
	steady.subscribe("publish", "reuse.test")
	f := newFlow(64, 1)
	stop, ended := make(chan struct{}), make(chan error, 2)
	go func() { // fan-out without a pause, so that every reset falls into one
		for i := 0; ; i++ {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if err := f.await(i); err != nil {
				ended <- err
				return
			}
			m := fmt.Appendf(nil, "publish:reuse.test:1.0.0\n%d", i)
			if err := publisher.peer.Send(m); err != nil {
				ended <- err
				return
			}
		}
	}()
	go func() {
		for i := 0; ; i++ {
			if err := expectNumber(steady.peer, i); err != nil {
				f.fail(err)
				return
			}
			f.note(0, i+1)
		}
	}()
	for i := range 200 {
		transport := transports[i%2]
		victim := n.dial(t, transports[i/2%2])
		victim.subscribeInStorm("reuse.test")
		if err := abort(victim.peer); err != nil {
			t.Fatal(err)
		}
		newcomer := n.dial(t, transport)
		newcomer.none()
		_ = newcomer.peer.Close()
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// subscribeInStorm subscribes while messages of that topic may already come.
func (c *client) subscribeInStorm(topic string) {
	c.t.Helper()
	c.send("request:system.topic.subscribe:1.0.0:"+idA, `{"action":"publish","topic":"`+topic+`"}`)
	c.await("the first copy", func(m message) bool { return m.Action == "publish" })
}

// Frames in the same segment as the upgrade belong to the connection.
func TestResilience_PipelinedUpgrade(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for _, cut := range []int{0, 1, 7} { // of the last frame, sent later
		r := dialRaw(t, n.ws)
		one := wsFrame(fin|opText, []byte("request:system.heartbeat:1.0.0:"+idA+"\n{}"))
		two := wsFrame(fin|opText, []byte("request:system.heartbeat:1.0.0:"+idB+"\n{}"))
		all := append(append([]byte(upgradeHead), one...), two...)
		r.write(all[:len(all)-cut])
		r.upgraded()
		r.initialized()
		r.write(all[len(all)-cut:])
		for _, id := range []string{idA, idB} {
			want := "response:system.heartbeat:1.0.0:" + id + "\n"
			op, payload := r.frame()
			if op != opText || !strings.HasPrefix(string(payload), want) {
				t.Fatalf("opcode %d, %q", op, payload)
			}
		}
	}
}

// SIGTERM: not ready any more, outstanding requests are answered, everybody is told, WebSockets are
// closed with 1001, then a clean exit.
func TestResilience_Drain(t *testing.T) {
	perPair(t, nil, func(t *testing.T, n *node, from, to string) {
		requester, target, idle := n.dial(t, from), n.dial(t, to), n.dial(t, overWS)
		target.subscribe("request", "drain.test")
		requester.send("request:drain.test:1.0.0:"+idA+"::60000", "q")
		m := target.expectPayload("request:drain.test:1.0.0:*", "q")
		n.terminate()
		eventually(t, "/readyz fails", func() bool {
			status, _ := n.probe("/readyz")
			return status != 200
		})
		target.send("response:drain.test:1.0.0:"+m.ID, "a")
		got := requester.await("the answer", func(m message) bool {
			return m.head() == "response:drain.test:1.0.0:"+idA
		})
		if string(got.Payload) != "a" {
			t.Errorf("answered %v", got)
		}
		for _, c := range []*client{requester, target, idle} {
			if len(c.backlog) == 0 { // else it was told before the answer
				c.backlog = append(c.backlog, c.fresh())
			}
			c.toGo()
			_, err := c.tryFresh()
			if c.transport == overWS && websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("WebSocket ended with %v, want 1001", err)
			}
			if c.transport == overTCP && !errors.Is(err, io.EOF) {
				t.Errorf("TCP ended with %v, want EOF", err)
			}
		}
		n.stop()
	})
}

// With nothing to wait for the node ends at once, whoever is connected.
func TestResilience_DrainIdle(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for i := range 10 {
		n.dial(t, transports[i%2])
	}
	silent := dialRaw(t, n.ws) // in the middle of its handshake
	silent.write([]byte("GET "))
	start := time.Now()
	n.stop()
	if passed := time.Since(start); passed > 8*time.Second {
		t.Errorf("an idle node took %v to end", passed)
	}
}
