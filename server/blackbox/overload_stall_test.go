package blackbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

// smallRing are settings under which a stalled subscriber is over its limit after some 100 KB, of
// which the kernel holds the larger part (see narrow).
var smallRing = []string{"connection.outbound.bytes=65536", "message.payload.maxLength=4096"}

// narrow connects with a small receive buffer and small segments: the kernel then keeps little for
// a peer that does not read, at both ends. (A socket's first send buffer is some 20 segments, and
// loopback's are of 64 KB.)
func (n *node) narrow(t testing.TB, transport string) *client {
	t.Helper()
	dialer := narrowDialer()
	if transport == overTCP {
		conn, err := dialer.Dial("tcp", n.tcp)
		if err != nil {
			t.Fatal(err)
		}
		return adopt(t, newTCPPeer(conn), transport)
	}
	httpClient := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
	}}
	p, _, err := dialWS("ws://"+n.ws+"/", &websocket.DialOptions{HTTPClient: httpClient})
	if err != nil {
		t.Fatal(err)
	}
	return adopt(t, p, transport)
}

// narrowDialer makes connections of which the kernel keeps little.
func narrowDialer() *net.Dialer {
	// Linux remembers between two addresses how fast the last connections were, and lets the node's
	// kernel keep more for the next at once: so this one comes from where none has come from.
	from := uuid.New()
	return &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{
		IP: net.IPv4(127, 1+from[0]%250, from[1], 1+from[2]%250),
	}, Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10)
			if failed == nil {
				failed = syscall.SetsockoptInt(int(fd),
					syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
			}
		})
		if err != nil {
			return err
		}
		return failed
	}}
}

// counter reads one number of /metrics.
func (n *node) counter(t testing.TB, name string) int {
	t.Helper()
	var m []string
	row := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`)
	eventually(t, "/metrics has "+name, func() bool { // a busy machine may cut a probe short
		_, body := n.probe("/metrics")
		m = row.FindStringSubmatch(body)
		return m != nil
	})
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return int(v)
}

// filler makes a numbered payload long.
var filler = strings.Repeat("f", 2000)

// flood publishes the messages from … to-1 with a request ID each, one after the other, and
// returns how many deliveries the acknowledgements call dropped. The topic of message i is
// topic(i).
func (c *client) flood(topic func(i int) string, from, to int) (dropped int) {
	c.t.Helper()
	for i := from; i < to; i++ {
		id := uuid.NewString()
		c.send("publish:"+topic(i)+":1.0.0:"+id, fmt.Sprint(i, " ", filler))
		m := c.await("an acknowledgement", func(m message) bool {
			return m.Action == "response" && m.ID == id
		})
		o := m.object(c.t)
		if o["status"] != "success" {
			c.t.Fatalf("not acknowledged: %v", m)
		}
		k, _ := o["dropped"].(float64)
		dropped += int(k)
	}
	return dropped
}

// always is a flood on one topic.
func always(topic string) func(int) string { return func(int) string { return topic } }

// gapNotice is the payload of system.dropped (protocol §9).
type gapNotice struct {
	Count, Conflated int
	Since, Until     string
}

func parseGap(t testing.TB, m message) gapNotice {
	t.Helper()
	m.mustHead(t, "publish:system.dropped:1.0.0")
	var g gapNotice
	if err := json.Unmarshal(m.Payload, &g); err != nil {
		t.Fatalf("%v: %v", m, err)
	}
	checkTimestamp(t, g.Since)
	checkTimestamp(t, g.Until)
	if g.Since > g.Until || g.Count < 0 || g.Conflated < 0 || g.Count+g.Conflated == 0 {
		t.Fatalf("not a gap: %v", m)
	}
	return g
}

// closed waits until the peer's connection ends, and returns how many whole publishes it still had.
func (c *client) closed() (publishes int) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		m, err := c.tryFresh()
		if err != nil {
			if isTimeout(err) {
				c.t.Fatalf("the connection stays open: %v", err)
			}
			return publishes
		}
		if m.Action == "publish" {
			publishes++
		}
		if time.Now().After(deadline) {
			c.t.Fatal("the connection never ends")
		}
	}
}
