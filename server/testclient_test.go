package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"mbserver/server/config"
	"mbserver/server/logging"
)

// livePatience bounds every wait for something that must happen.
const livePatience = 10 * time.Second

// liveOutput keeps what a node logs.
type liveOutput struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *liveOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *liveOutput) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// liveNode is a running node with real sockets, on ports that the kernel picked.
type liveNode struct {
	*Node
	t    testing.TB
	out  *liveOutput
	logs *logging.Handler
}

// liveConfig is the configuration of live nodes: two loops, any ports, no admin listener.
func liveConfig() config.Config {
	cfg := config.Default()
	cfg.Host = "127.0.0.1"
	cfg.Ports = config.Ports{WS: config.AnyPort, TCP: config.AnyPort}
	cfg.Admin.Address = ""
	cfg.Loops = 2
	cfg.Shutdown.Spread = 0 // or each test would take some seconds to end
	// Nor is a client asked for a sign of life that is silent for long on a machine that is busy.
	cfg.Connection.HeartbeatRetryTimeout = time.Hour
	cfg.Connection.HeartbeatDeregisterTimeout = 2 * time.Hour
	return cfg
}

// newLiveNode makes a node that logs into its own buffer and is not started.
func newLiveNode(t testing.TB, change func(*config.Config)) *liveNode {
	t.Helper()
	cfg := liveConfig()
	if change != nil {
		change(&cfg)
	}
	out := &liveOutput{}
	logs := logging.New(out, slog.LevelInfo, config.FormatJSON)
	t.Cleanup(func() { _ = logs.Close(context.Background()) })
	n, err := New(cfg, Options{Logger: slog.New(logs), Logs: logs, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return &liveNode{Node: n, t: t, out: out, logs: logs}
}

// startLiveNode starts a node; it is shut down after the test, unless that has been done.
func startLiveNode(t testing.TB, change func(*config.Config)) *liveNode {
	t.Helper()
	n := newLiveNode(t, change)
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if ready, _ := n.broker.Ready(); !ready {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), livePatience)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
	return n
}

// eventually polls until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(livePatience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came: %s", what)
		}
	}
}

// liveClient is a TCP connection to a node. One goroutine.
type liveClient struct {
	t       testing.TB
	conn    net.Conn
	id      string        // service ID
	backlog []wireMessage // came while something else was awaited

	wrote, got           int // messages
	wroteBytes, gotBytes int // with their framing
}

type wireMessage struct {
	header  string // without its newline
	payload []byte
}

// object returns the payload, which must be a JSON object.
func (m wireMessage) object(t testing.TB) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(m.payload, &o); err != nil {
		t.Fatalf("%s: %v in %q", m.header, err, m.payload)
	}
	return o
}

// requestID returns the header's fourth field.
func (m wireMessage) requestID() string {
	if f := strings.Split(m.header, ":"); len(f) > 3 {
		return f[3]
	}
	return ""
}

// dial connects and takes the greeting.
func (n *liveNode) dial() *liveClient {
	n.t.Helper()
	c, err := net.Dial("tcp", n.Addr("tcp"))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = c.Close() })
	client := &liveClient{t: n.t, conn: c}
	greeting := client.read()
	if greeting.header != "publish:system.initialize:1.0.0" {
		n.t.Fatalf("greeted with %s", greeting.header)
	}
	client.id, _ = greeting.object(n.t)["serviceId"].(string)
	return client
}

func (c *liveClient) send(header, payload string) {
	c.t.Helper()
	b := binary.BigEndian.AppendUint32(nil, uint32(len(header)+1+len(payload)))
	b = append(append(append(b, header...), '\n'), payload...)
	_ = c.conn.SetWriteDeadline(time.Now().Add(livePatience))
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
	c.wrote, c.wroteBytes = c.wrote+1, c.wroteBytes+len(b)
}

// read takes the next message from the wire.
func (c *liveClient) read() wireMessage {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(livePatience))
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.conn, b); err != nil {
		c.t.Fatal(err)
	}
	c.got, c.gotBytes = c.got+1, c.gotBytes+len(size)+len(b)
	header, payload, _ := bytes.Cut(b, []byte("\n"))
	return wireMessage{string(header), payload}
}

// await takes the first message that fits; the others stay.
func (c *liveClient) await(what string, fits func(wireMessage) bool) wireMessage {
	c.t.Helper()
	for i, m := range c.backlog {
		if fits(m) {
			c.backlog = append(c.backlog[:i:i], c.backlog[i+1:]...)
			return m
		}
	}
	for end := time.Now().Add(livePatience); time.Now().Before(end); {
		m := c.read()
		if fits(m) {
			return m
		}
		c.backlog = append(c.backlog, m)
	}
	c.t.Fatalf("it never came: %s", what)
	return wireMessage{}
}

// awaitTopic takes the first message whose header begins so.
func (c *liveClient) awaitTopic(prefix string) wireMessage {
	c.t.Helper()
	return c.await(prefix, func(m wireMessage) bool { return strings.HasPrefix(m.header, prefix) })
}

// call makes a request and returns the answer's payload.
func (c *liveClient) call(topic, payload string) map[string]any {
	c.t.Helper()
	id := uuid.NewString()
	c.send("request:"+topic+":1.0.0:"+id, payload)
	return c.await("the answer of "+topic, func(m wireMessage) bool {
		return strings.HasPrefix(m.header, "response:") && m.requestID() == id
	}).object(c.t)
}

// ok makes a request that must succeed.
func (c *liveClient) ok(topic, payload string) map[string]any {
	c.t.Helper()
	o := c.call(topic, payload)
	if o["status"] != "success" {
		c.t.Fatalf("%s %s: %v", topic, payload, o)
	}
	return o
}

// refused makes a request that must fail, and returns the error.
func (c *liveClient) refused(topic, payload, code string) map[string]any {
	c.t.Helper()
	o := c.call(topic, payload)
	e, _ := o["error"].(map[string]any)
	if e["code"] != code {
		c.t.Fatalf("%s %s: %v, want %s", topic, payload, o, code)
	}
	return e
}

func (c *liveClient) subscribe(action, topic string) {
	c.t.Helper()
	c.ok("system.topic.subscribe", `{"action":"`+action+`","topic":"`+topic+`"}`)
}

// settle returns when everything that the node had for the client has come: what was handed to the
// client's loop before is delivered by the end of the turn that answers the first heartbeat.
func (c *liveClient) settle() {
	c.t.Helper()
	for range 2 {
		c.ok("system.heartbeat", "")
	}
}
