package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/config"
	"mbserver/server/logging"
)

// liveShared counts the shared buffers that nobody has given back yet.
var liveShared = ringbuf.TrackShared()

// testNode is a whole node in one goroutine: no sockets, no timers, no threads. Its loops run only
// when they are told to.
type testNode struct {
	*Broker
	t       testing.TB
	ms      int64 // the clock of all loops
	ns      int64 // the same, finer; only its differences matter
	tick    int64 // ns by which every look at the clock moves it
	wall    bool  // the finer clock is the real one
	drivers []*testDriver
	faults  []string // what the node logged as its own faults

	// onLine takes what the log stream is given; nil: there is no stream.
	onLine func(line logging.Line, to []*service)
}

var wallStart = time.Now()

// testEpoch is the wall clock (Unix ms) at which a test node starts.
const testEpoch = 1_700_000_000_000

// testDriver is one loop's world.
type testDriver struct {
	node      *testNode
	scheduled bool
	at        int64 // when a turn was asked for, 0 = never
	rang      int64 // when one was due that has not begun; 0 = none
	woke      int64 // when the last one began
	silence   silence
}

func (d *testDriver) Now() Clock {
	if d.node.ns += d.node.tick; d.node.wall {
		d.node.ns = int64(time.Since(wallStart))
	}
	return Clock{Ms: d.node.ms, Ns: d.node.ns, Unix: testEpoch + d.node.ms}
}

func (d *testDriver) Schedule()           { d.scheduled = true }
func (d *testDriver) ScheduleAt(ms int64) { d.at, d.rang = ms, 0; d.ring() }

// ring asks for the turn that is due.
func (d *testDriver) ring() {
	if d.at != 0 && d.at <= d.node.ms {
		d.rang, d.at, d.scheduled = d.at, 0, true
	}
}

// listened is what the node should take for the time in which it was there to hear its clients.
func (d *testDriver) listened() int64 {
	ahead := d.silence
	ahead.pass(d.node.ms-d.woke, d.late())
	return d.node.ms - ahead.absent
}

// wake notes that the loop's turn begins, if it is not in one.
func (d *testDriver) wake(l *Loop) {
	if l.inTurn {
		return
	}
	d.silence.pass(d.node.ms-d.woke, d.late())
	d.woke, d.rang = d.node.ms, 0
}

// late is how long ago, in ms, a turn was due that has not begun, when that is worth a mention.
func (d *testDriver) late() int64 {
	if d.rang == 0 || d.node.ms-d.rang < absenceMin {
		return 0
	}
	return d.node.ms - d.rang
}

func (n *testNode) wake(l *Loop) { n.drivers[l.index].wake(l) }

// newTestNode makes a node whose randomness comes from seed alone.
func newTestNode(t testing.TB, seed uint64, loops int, adjust func(*config.Config)) *testNode {
	t.Helper()
	n := &testNode{t: t}
	cfg := config.Default()
	cfg.Loops = loops
	if adjust != nil {
		adjust(&cfg)
	}
	logger := slog.New(&faultLog{node: n})
	node, err := New(cfg, Options{Logger: logger, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	node.Throttle.Now = func() time.Time { return time.UnixMilli(testEpoch + n.ms) }
	n.Broker = node
	random := rand.New(rand.NewPCG(seed, 1))
	n.id = codec.NewUUID(random.Uint64(), random.Uint64())
	for _, l := range node.loops {
		var key [32]byte
		for i := 0; i < len(key); i += 8 {
			binary.LittleEndian.PutUint64(key[i:], random.Uint64())
		}
		l.random = rand.NewChaCha8(key)
		d := &testDriver{node: n}
		l.driver = d
		n.drivers = append(n.drivers, d)
	}
	// Its work is done by step, not by a goroutine.
	n.background.now = func() time.Time { return time.UnixMilli(testEpoch + n.ms) }
	n.state.Store(int32(accepting))
	return n
}

// faultLog keeps what is logged as an error, and hands lines to those who listen, in place of a
// logging.Handler with its goroutine. It fails nothing by itself.
type faultLog struct {
	node   *testNode
	module string
}

func (f *faultLog) WithGroup(string) slog.Handler { return f }
func (f *faultLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	g := *f
	for _, a := range attrs {
		if a.Key == "module" {
			g.module = a.Value.String()
		}
	}
	return &g
}

// listeners are those who may want a line of the level.
func (f *faultLog) listeners(level slog.Level) (to []*service) {
	if f.node.onLine == nil {
		return nil
	}
	return f.node.logStream.Listeners(level)
}

func (f *faultLog) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError || len(f.listeners(level)) > 0
}

func (f *faultLog) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		var b strings.Builder
		b.WriteString(r.Message)
		r.Attrs(func(a slog.Attr) bool {
			b.WriteString("\n" + a.String())
			return true
		})
		f.node.faults = append(f.node.faults, b.String())
	}
	if to := f.listeners(r.Level); len(to) > 0 {
		now := time.UnixMilli(testEpoch + f.node.ms)
		line := logging.Line{Level: r.Level, Time: now, Message: r.Message, Module: f.module}
		f.node.onLine(line, to)
		f.node.logStream.Deliver(line)
	}
	return nil
}

// run gives loop i one turn.
func (n *testNode) run(i int) {
	n.drivers[i].wake(n.loops[i])
	n.drivers[i].scheduled = false
	n.loops[i].run()
}

// backgroundJob does what loops asked for beside them, one of each kind, if there is any.
func (n *testNode) backgroundJob() bool {
	worked, _ := n.background.stepJob(n.background.now())
	made, _ := n.background.stepSnapshot(n.background.now())
	return worked || made
}

// advance moves the clock and asks for the turns that are due.
func (n *testNode) advance(ms int64) {
	n.ms += ms
	n.ns += ms * int64(time.Millisecond)
	for _, d := range n.drivers {
		d.ring()
	}
}

// pass lets ms go by, in which every turn comes when it is due.
func (n *testNode) pass(ms int64) {
	for end := n.ms + ms; ; {
		next := end
		for _, d := range n.drivers {
			if d.at != 0 {
				next = min(next, d.at)
			}
		}
		n.advance(next - n.ms)
		n.settle()
		if next == end {
			return
		}
	}
}

// settle runs whatever was asked for until nothing is.
func (n *testNode) settle() {
	n.t.Helper()
	for range 10000 {
		busy := n.backgroundJob()
		for i, d := range n.drivers {
			if d.scheduled {
				busy = true
				n.run(i)
			}
		}
		if !busy {
			for _, f := range n.faults {
				n.t.Fatal(f)
			}
			return
		}
	}
	n.t.Fatal("the node does not come to rest")
}

var errTestReset = errors.New("connection reset by peer")

// testSocket takes as many bytes as its budget says, and keeps them unless it is to discard.
type testSocket struct {
	tookAt      int64 // loop ms
	budget      int
	unlimited   bool
	discard     bool
	err         error
	out         []byte
	owner       *service
	unacked     int
	waiting     bool // it asked for word of room
	room        bool // word of room was given, and the loop has not gone on yet
	paused      bool // the node does not read it
	writeClosed bool
	closed      bool
	arrived     [][]byte // and was not reported yet; Read takes one
	violation   string   // a call that must not happen
}

func (s *testSocket) Write(p []byte) (int, error) {
	if s.closed || s.writeClosed {
		s.violation = "written to after it was closed"
	}
	if s.err != nil {
		return 0, s.err
	}
	n := len(p)
	if !s.unlimited {
		n = min(n, s.budget)
		s.budget -= n
	}
	if n > 0 && s.owner != nil {
		s.tookAt = s.owner.loop.time.Ms
	}
	if !s.discard {
		s.out = append(s.out, p[:n]...)
	}
	return n, nil
}

func (s *testSocket) Writev(bufs [][]byte) (total int, err error) {
	for _, b := range bufs {
		n, err := s.Write(b)
		total += n
		if n < len(b) || err != nil {
			return total, err
		}
	}
	return total, nil
}

func (s *testSocket) Read() (in []byte) {
	if len(s.arrived) > 0 {
		in, s.arrived = s.arrived[0], s.arrived[1:]
	}
	return in
}

func (s *testSocket) AwaitWritable() error {
	if s.waiting {
		s.violation = "asked twice for word of room"
	}
	s.waiting = true
	return nil
}

func (s *testSocket) PauseReading(paused bool) { s.paused = paused }

func (s *testSocket) Unacked() int { return s.unacked }

func (s *testSocket) Held() int { return 0 }

func (s *testSocket) CloseWrite() { s.writeClosed = true }

func (s *testSocket) Close() {
	if s.closed {
		s.violation = "closed twice"
	}
	s.closed = true
}

// testMessage is one message that a client received.
type testMessage struct {
	codec.Header
	kind    codec.Kind
	header  string // the header line without its end
	payload []byte
}

// testClient is the other end of a connection.
type testClient struct {
	*Conn
	node *testNode
	sock *testSocket
	in   codec.Decoder
	pack codec.Deflater // for one that compresses what it sends
	kept []testMessage  // came while something else was awaited
}

// connect opens a connection on loop i, as the door does.
func (n *testNode) connect(i int, t Transport) *testClient { return n.connectAs(i, t, false) }

// connectAs is connect for one that may have agreed on permessage-deflate.
func (n *testNode) connectAs(i int, t Transport, deflate bool) *testClient {
	n.connections.Add(1)
	remote := netip.MustParseAddrPort("192.0.2.1:1")
	return n.enter(i, &Arrival{Transport: t, Remote: remote, Deflate: deflate})
}

// enter opens a connection that has its place.
func (n *testNode) enter(i int, a *Arrival) *testClient {
	l := n.loops[i]
	l.load.Add(1)
	k := &testClient{node: n, sock: &testSocket{unlimited: true}}
	k.Conn = new(Conn)
	n.wake(l)
	if !l.Open(k.Conn, a, k.sock) {
		n.t.Fatal("the connection was not opened")
	}
	k.sock.owner = &k.Conn.service
	switch {
	case a.Deflate:
		k.in = codec.NewWSDeflateDecoder(1<<20, true, new(codec.Inflaters))
	case a.Transport == TransportWS:
		k.in = codec.NewWSDecoder(1<<20, true)
	default:
		k.in = codec.NewTCPDecoder(1 << 20)
	}
	return k
}

// frame is msg as the client puts it on the wire.
func (k *testClient) frame(msg []byte, text bool) []byte {
	if k.transport == TransportWS {
		kind := codec.Binary
		if text {
			kind = codec.Text
		}
		p, smaller := msg, false
		if k.form == formDeflate {
			p, smaller = k.pack.Deflate(msg, nil)
		}
		if !smaller {
			return codec.AppendWSFrame(nil, kind, [4]byte{1, 2, 3, 4}, msg)
		}
		frame := codec.AppendWSFrame(nil, kind, [4]byte{1, 2, 3, 4}, p)
		frame[0] |= 0x40 // RSV1
		return frame
	}
	return append(codec.AppendTCPHeader(nil, len(msg)), msg...)
}

// arrive hands bytes to the connection, as the reactor does. They are overwritten.
func (k *testClient) arrive(b []byte) {
	k.node.wake(k.loop)
	k.Conn.Receive(b)
}

// send hands one whole text message to the connection.
func (k *testClient) send(msg string) { k.arrive(k.frame([]byte(msg), true)) }

// hangUp ends the connection from the client's side.
func (k *testClient) hangUp(reset bool) {
	k.node.wake(k.loop)
	if !k.Conn.PeerClosed(reset) {
		k.sock.closed = true // by the reactor
	}
}

// unblock lets the socket take n more bytes, and tells the loop if it waits for that.
func (k *testClient) unblock(n int, unlimited bool) {
	k.sock.budget += n
	k.sock.unlimited = unlimited
	if s := k.sock.owner; k.sock.waiting && (n > 0 || unlimited) {
		k.sock.waiting, k.sock.room = false, true
		s.loop.Writable(s.Handle())
	}
}

// take returns the messages that came since the last call.
func (k *testClient) take() (ms []testMessage, err error) {
	in := k.sock.out
	k.sock.out = nil
	for {
		m, rest, bad := k.in.Next(in)
		if bad != nil {
			return ms, bad
		}
		if m.Kind == codec.None {
			return ms, nil
		}
		if in = rest; m.Kind == codec.Compressed {
			k.in.(inflating).Inflate()
			continue
		}
		tm := testMessage{kind: m.Kind}
		data := append([]byte(nil), m.Data...)
		if m.Kind != codec.Binary && m.Kind != codec.Text {
			tm.payload = data
			ms = append(ms, tm)
			continue
		}
		h, payload, wrong := codec.ParseHeader(data, 1<<40)
		if wrong != nil {
			return ms, wrong
		}
		tm.Header, tm.payload = h, payload
		tm.header = string(data[:len(data)-len(payload)-1])
		ms = append(ms, tm)
	}
}

// messages is take for tests of a healthy connection.
func (k *testClient) messages() []testMessage {
	k.node.t.Helper()
	ms, err := k.take()
	if err != nil {
		k.node.t.Fatal(err)
	}
	if k.sock.violation != "" {
		k.node.t.Fatal("the socket was " + k.sock.violation)
	}
	return ms
}

// testIDs gives fresh request IDs.
type testIDs struct{ random *rand.Rand }

func (r *testIDs) next() string {
	return codec.NewUUID(r.random.Uint64(), r.random.Uint64()).String()
}
