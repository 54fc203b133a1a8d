package blackbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is many bare connections to one address, which a test closes together.
type crowd struct {
	conns []net.Conn
}

// join opens up to count connections, as many as this process may, and says something on each. Who
// the node has refused or cut meanwhile stays among them.
func (c *crowd) join(t *testing.T, address string, count int, say func(i int) []byte) {
	t.Helper()
	for i := range count {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			t.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		_, _ = conn.Write(say(i)) // it may have been cut already
	}
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// refusal503 holds that an HTTP answer is a refusal for the reason.
func refusal503(t *testing.T, status int, body, reason string) {
	t.Helper()
	var answer struct{ Error errorBody }
	if status != http.StatusServiceUnavailable || json.Unmarshal([]byte(body), &answer) != nil ||
		answer.Error.Code != "SERVICE_UNAVAILABLE" || answer.Error.Details["reason"] != reason {
		t.Errorf("the refusal is %d %q, not for %s", status, body, reason)
	}
}

// Five thousand half handshakes keep nobody out, neither by the door nor by the number of
// connections; those that gave way were told why.
func TestS4_HalfHandshakes(t *testing.T) {
	const count, established = 5000, 200
	n := startNode(t, "connection.handshakeTimeout=60000",
		"connection.max.concurrent=200", "logging.level=error")
	before := n.dial(t, overWS)
	var c crowd
	defer c.leave()
	c.join(t, n.ws, count, func(i int) []byte { return []byte(upgradeHead[:i%len(upgradeHead)]) })
	for i := range established - 1 {
		n.dial(t, transports[i%2])
	}
	refused := dialRaw(t, n.ws)
	refused.write([]byte(upgradeHead))
	resp, body := refused.answer()
	refusal503(t, resp.StatusCode, body, "connection_limit")
	first := &rawConn{t: t, conn: c.conns[0].(*net.TCPConn)}
	_ = first.conn.SetReadDeadline(time.Now().Add(patience))
	answer, _ := io.ReadAll(first.conn)
	head, text, _ := strings.Cut(string(answer), "\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 503 ") {
		t.Errorf("the oldest is answered %q", answer)
	}
	refusal503(t, 503, text, "handshake_limit")
	if held := n.counter(t, "mb_memory_charged_bytes"); held < established<<10 {
		t.Errorf("%d connections and half handshakes are charged %d bytes", established, held)
	}
	before.none()
	c.leave()
	eventually(t, "the door is empty", func() bool { return n.descriptors() < established+100 })
}

// Where descriptors are few, places are: half handshakes leave room, and who finds none is told so.
func TestS4_FewDescriptors(t *testing.T) {
	t.Parallel()
	const files = 200
	n := launchNode(t, launch{files: files, settings: []string{"logging.level=error"}})
	var c crowd
	defer c.leave()
	c.join(t, n.ws, 2*files, func(int) []byte { return []byte("GET ") })
	for _, transport := range transports {
		n.dial(t, transport).none()
	}
	for entered := 0; ; entered++ {
		p, err := n.connect(overTCP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		f, err := p.Recv(time.Now().Add(patience))
		if err != nil {
			t.Fatalf("connection %d is not answered: %v", entered, err)
		}
		if strings.Contains(string(f.data), `"reason":"connection_limit"`) {
			t.Logf("%d connections with %d descriptors", entered, files)
			break
		}
		if entered > files {
			t.Fatalf("%d connections with %d descriptors", entered, files)
		}
	}
	r := dialRaw(t, n.ws)
	r.write([]byte(upgradeHead))
	resp, body := r.answer()
	refusal503(t, resp.StatusCode, body, "connection_limit")
}

// Thousands of connections each hold a message that they do not finish, more than memory.limit
// together. The node stays within it, cuts them, and neither a reader nor an uploader nor a
// newcomer pays for them.
func TestOverload_Fragments(t *testing.T) { // alone: it takes all the CPU there is
	const count, limit, size = 4000, 64 << 20, 20 << 10
	n := startNode(t, fmt.Sprintf("memory.limit=%d", limit),
		fmt.Sprintf("message.payload.maxLength=%d", 2*size), "logging.level=error")
	reader, publisher := n.dial(t, overTCP), n.dial(t, overWS)
	reader.subscribe("publish", "polite.stream")
	var published, received atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		message := []byte("publish:polite.stream:1.0.0\n" + strings.Repeat("p", size))
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond): // the stream's pace
			}
			if err := publisher.peer.Send(message); err != nil {
				t.Error(err)
				return
			}
			published.Add(1)
		}
	})
	all.Go(func() {
		for {
			f, err := reader.peer.Recv(time.Now().Add(patience))
			if err != nil {
				t.Error(err)
				return
			}
			if strings.HasSuffix(string(f.data), "end") {
				return
			}
			received.Add(1)
		}
	})
	fragment := strings.Repeat("f", size)
	var c crowd
	defer c.leave()
	c.join(t, n.tcp, count/2, func(int) []byte { // an announced length, and half of it
		return append([]byte{0, 0, byte(2 * size >> 8), 0}, fragment...)
	})
	c.join(t, n.ws, count/2, func(int) []byte { // a fragment that is not the last
		return append([]byte(upgradeHead), wsFrame(opBinary, []byte(fragment))...)
	})
	eventually(t, "they are cut", func() bool {
		return n.counter(t, "mb_memory_charged_bytes") < limit*4/10
	})
	for i := range 20 {
		n.dial(t, transports[i%2]).none()
	}
	close(stop)
	eventually(t, "the stream has come", func() bool { return received.Load() >= published.Load() })
	publisher.send("publish:polite.stream:1.0.0", "end")
	all.Wait()
	shed, peak := n.counter(t, "mb_connections_shed_total"), n.peakResident()
	t.Logf("%d of %d cut, peak of resident memory %d MiB of %d, %d messages streamed",
		shed, count, peak>>20, limit>>20, received.Load())
	if peak > limit && !raceEnabled {
		t.Errorf("resident memory came to %d MiB of %d", peak>>20, limit>>20)
	}
	if shed < count/4 || shed > count {
		t.Errorf("%d of %d were cut", shed, count)
	}
	publisher.none()
}
