package blackbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// message is one parsed message from the node.
type message struct {
	Action, Topic, Version, ID string
	Extra                      []string // fields after the request ID
	Payload                    []byte
	Text                       bool
}

func (m message) String() string {
	return fmt.Sprintf("%s %.600s", m.head(), m.Payload)
}

// head is the header line as it came.
func (m message) head() string {
	fields := []string{m.Action, m.Topic, m.Version}
	if m.ID != "" || len(m.Extra) > 0 {
		fields = append(fields, m.ID)
	}
	return strings.Join(append(fields, m.Extra...), ":")
}

// parseMessage also checks what holds for every message that the broker writes (protocol §2).
func parseMessage(f frame) (message, error) {
	line, payload, found := bytes.Cut(f.data, []byte("\n"))
	fields := strings.Split(string(line), ":")
	if !found || len(fields) < 3 || len(fields) > 6 || fields[len(fields)-1] == "" {
		return message{}, fmt.Errorf("not a message: %.200q", f.data)
	}
	m := message{
		Action: fields[0], Topic: fields[1], Version: fields[2], Payload: payload, Text: f.text,
	}
	if len(fields) > 3 {
		m.ID, m.Extra = fields[3], fields[4:]
	}
	switch m.Action {
	case "publish", "request", "response":
		return m, nil
	}
	return m, fmt.Errorf("action %q", m.Action)
}

// client is a connection with a test's conveniences: everything that goes wrong ends the test.
// Test goroutine only.
type client struct {
	t         testing.TB
	peer      peer
	transport string
	id        string         // service ID
	initial   map[string]any // payload of system.initialize
	backlog   []message      // arrived while something else was awaited
}

// dial connects and takes system.initialize.
func (n *node) dial(t testing.TB, transport string) *client {
	t.Helper()
	p, err := n.connect(transport)
	if err != nil {
		t.Fatalf("connecting over %s: %v", transport, err)
	}
	return adopt(t, p, transport)
}

func adopt(t testing.TB, p peer, transport string) *client {
	t.Helper()
	c := &client{t: t, peer: p, transport: transport}
	t.Cleanup(func() { _ = p.Close() })
	m := c.recv()
	if m.head() != "publish:system.initialize:1.0.0" {
		t.Fatalf("the first message is %v", m)
	}
	c.initial = m.object(t)
	c.id, _ = c.initial["serviceId"].(string)
	if !isUUIDv4(c.id) {
		t.Fatalf("serviceId is %q in %s", c.id, m.Payload)
	}
	return c
}

// send sends one message; header is without its newline.
func (c *client) send(header, payload string) {
	c.t.Helper()
	if err := c.peer.Send([]byte(header + "\n" + payload)); err != nil {
		c.t.Fatalf("sending %.100q: %v", header, err)
	}
}

// recv returns the next message.
func (c *client) recv() message {
	c.t.Helper()
	if len(c.backlog) > 0 {
		m := c.backlog[0]
		c.backlog = c.backlog[1:]
		return m
	}
	return c.fresh()
}

// fresh returns the next message from the wire, whatever waits in the backlog.
func (c *client) fresh() message {
	c.t.Helper()
	m, err := c.tryFresh()
	if err != nil {
		c.t.Fatalf("receiving over %s: %v", c.transport, err)
	}
	return m
}

func (c *client) tryFresh() (message, error) {
	f, err := c.peer.Recv(time.Now().Add(patience))
	if err != nil {
		return message{}, err
	}
	return parseMessage(f)
}

// expect takes the next message and compares its header line; ID "*" in it stands for any UUIDv4.
func (c *client) expect(header string) message {
	c.t.Helper()
	m := c.recv()
	m.mustHead(c.t, header)
	return m
}

func (m message) mustHead(t testing.TB, header string) {
	t.Helper()
	if prefix, ok := strings.CutSuffix(header, ":*"); ok {
		if !isUUIDv4(m.ID) || m.head() != prefix+":"+m.ID {
			t.Fatalf("got %v, want %s with a UUIDv4", m, header)
		}
		return
	}
	if m.head() != header {
		t.Fatalf("got %v, want %s", m, header)
	}
}

// expectPayload takes the next message and compares header line and payload.
func (c *client) expectPayload(header, payload string) message {
	c.t.Helper()
	m := c.expect(header)
	if string(m.Payload) != payload {
		c.t.Fatalf("got %v, want payload %.200q", m, payload)
	}
	return m
}

// await takes the first message that fits, leaving the others in the backlog in their order.
func (c *client) await(what string, fits func(message) bool) message {
	c.t.Helper()
	for i, m := range c.backlog {
		if fits(m) {
			c.backlog = append(c.backlog[:i:i], c.backlog[i+1:]...)
			return m
		}
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		m, err := c.tryFresh()
		if err != nil {
			c.t.Fatalf("awaiting %s: %v", what, err)
		}
		if fits(m) {
			return m
		}
		c.backlog = append(c.backlog, m)
	}
	c.t.Fatalf("awaiting %s: other messages only", what)
	return message{}
}

// call sends a request with a fresh ID and returns its answer.
func (c *client) call(topic, payload string) message {
	c.t.Helper()
	id := uuid.NewString()
	c.send("request:"+topic+":1.0.0:"+id, payload)
	m := c.await("the answer of "+topic, func(m message) bool {
		return m.Action == "response" && m.ID == id
	})
	m.mustHead(c.t, "response:"+topic+":1.0.0:"+id)
	return m
}

// ok makes a system request that must succeed.
func (c *client) ok(topic, payload string) map[string]any {
	c.t.Helper()
	m := c.call(topic, payload)
	o := m.object(c.t)
	if o["status"] != "success" {
		c.t.Fatalf("%s %s: %v", topic, payload, m)
	}
	return o
}

// refused makes a system request that must fail with the code.
func (c *client) refused(topic, payload, code string) errorBody {
	c.t.Helper()
	m := c.call(topic, payload)
	e := m.fault(c.t)
	if e.Code != code {
		c.t.Fatalf("%s %.200s: got %s, want %s", topic, payload, m.Payload, code)
	}
	return e
}

// subscribe subscribes and checks the answer; extra are further members of the payload,
// as `,"priority":1`.
func (c *client) subscribe(action, pattern string, extra ...string) {
	c.t.Helper()
	c.ok("system.topic.subscribe", fmt.Sprintf(`{"action":%q,"topic":%q%s}`,
		action, pattern, strings.Join(extra, "")))
}

// settle proves that everything the node has for this connection so far has arrived: it is in the
// backlog afterwards. The answer of a heartbeat comes after whatever was written to the connection
// before. One round trip is not enough when another of the node's loops hands a message over
// meanwhile; three are.
func (c *client) settle() {
	c.t.Helper()
	for range 3 {
		c.ok("system.heartbeat", "{}")
	}
}

// none fails if anything has arrived that was not taken.
func (c *client) none() {
	c.t.Helper()
	c.settle()
	if len(c.backlog) > 0 {
		c.t.Fatalf("unexpected message over %s: %v (and %d more)",
			c.transport, c.backlog[0], len(c.backlog)-1)
	}
}

// expectFault takes the next message, which must be an error with this header line and code.
func (c *client) expectFault(header, code string) errorBody {
	c.t.Helper()
	m := c.expect(header)
	e := m.fault(c.t)
	if e.Code != code {
		c.t.Fatalf("got %v, want %s", m, code)
	}
	return e
}

// object decodes a payload that the broker wrote: one JSON object on one line.
func (m message) object(t testing.TB) map[string]any {
	t.Helper()
	var o map[string]any
	err := json.Unmarshal(m.Payload, &o)
	if err != nil || o == nil || bytes.ContainsAny(m.Payload, "\r\n") {
		t.Fatalf("not one JSON object on one line: %v", m)
	}
	return o
}

// items returns a member that is an array of objects.
func items(t testing.TB, o map[string]any, key string) []map[string]any {
	t.Helper()
	list, ok := o[key].([]any)
	if !ok {
		t.Fatalf("%q is not an array: %v", key, o[key])
	}
	entries := make([]map[string]any, len(list))
	for i := range list {
		if entries[i], ok = list[i].(map[string]any); !ok {
			t.Fatalf("%q has %v among its objects", key, list[i])
		}
	}
	return entries
}

// errorBody is protocol §7's error object.
type errorBody struct {
	Code, Message, Timestamp string
	Details                  map[string]any
}

var timestampForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

// fault decodes an error and checks its form.
func (m message) fault(t testing.TB) errorBody {
	t.Helper()
	if m.Action != "response" {
		t.Fatalf("an error is a response: %v", m)
	}
	var body struct{ Error *errorBody }
	decoder := json.NewDecoder(bytes.NewReader(m.Payload))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&body)
	if err != nil || body.Error == nil || bytes.ContainsAny(m.Payload, "\r\n") {
		t.Fatalf("not an error object on one line (%v): %v", err, m)
	}
	if body.Error.Message == "" || body.Error.Code == "" {
		t.Fatalf("code or message is missing: %v", m)
	}
	checkTimestamp(t, body.Error.Timestamp)
	return *body.Error
}

// checkTimestamp holds a time to ISO 8601 UTC with milliseconds, and to the present.
func checkTimestamp(t testing.TB, v any) {
	t.Helper()
	s, _ := v.(string)
	at, err := time.Parse(time.RFC3339, s)
	if err != nil || !timestampForm.MatchString(s) {
		t.Fatalf("%v is not a time in UTC with milliseconds", v)
	}
	if age := time.Since(at); age < -time.Second || age > 5*time.Minute {
		t.Fatalf("the time %s is %v away", s, age)
	}
}

// names says whether the details mention a field, under whatever key.
func (e errorBody) names(field string) bool {
	text, _ := json.Marshal(e.Details)
	return strings.Contains(strings.ToLower(string(text)), strings.ToLower(field))
}

var uuidV4Form = regexp.MustCompile(
	`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func isUUIDv4(s string) bool { return uuidV4Form.MatchString(s) }

// service returns an entry of system.service.list, nil when it is not there.
func (c *client) service(id string) map[string]any {
	c.t.Helper()
	for _, entry := range items(c.t, c.ok("system.service.list", ""), "services") {
		if entry["id"] == id {
			return entry
		}
	}
	return nil
}

// perTransport runs a test with a fresh node over each transport, over those that can be compressed
// with and without.
func perTransport(
	t *testing.T, settings []string, test func(t *testing.T, n *node, transport string),
) {
	perPlain(t, settings, test)
	for _, transport := range []string{overWS, overWSS} {
		t.Run(transport+" deflate", func(t *testing.T) {
			test(t, startDeflating(t, settings...), transport)
		})
	}
}

// perPlain is perTransport for what depends on how many bytes messages are, or takes long and looks
// at no message: nothing is compressed.
func perPlain(
	t *testing.T, settings []string, test func(t *testing.T, n *node, transport string),
) {
	t.Parallel()
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) { test(t, startNode(t, settings...), transport) })
	}
}

// perPair runs a test with a fresh node for each of the pairs, and for one that compresses.
func perPair(t *testing.T, settings []string, test func(t *testing.T, n *node, from, to string)) {
	t.Parallel()
	for _, pair := range pairs {
		from, to := pair[0], pair[1]
		t.Run(from+" to "+to, func(t *testing.T) {
			test(t, startNode(t, settings...), from, to)
		})
	}
	t.Run("ws to wss deflate", func(t *testing.T) {
		test(t, startDeflating(t, settings...), overWS, overWSS)
	})
}

// startDeflating starts a node that compresses whatever becomes smaller by it, to which WebSocket
// clients connect that do the same.
func startDeflating(t testing.TB, settings ...string) *node {
	t.Helper()
	n := startNode(t, append([]string{deflateOn, "ws.deflate.minBytes=1"}, settings...)...)
	n.deflates = true
	return n
}
