package blackbox

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// One test for each class of hole through which servers have been taken down before anybody was
// asked who they are. A node that panics fails each of them (startNode).

// speak says something on a new connection and reads what comes back to its end, which the node
// must make when it is to.
func speak(t *testing.T, address string, say []byte) (answer []byte) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = c.Write(say) // it may have been refused already
	_ = c.(*net.TCPConn).CloseWrite()
	answer, err = io.ReadAll(c)
	if isTimeout(err) {
		t.Errorf("%.60q: the node does not end it", say)
	}
	return answer
}

// Lengths that are negative where 32 or 64 bits have a sign end the connection, and nothing is kept
// or read for them.
func TestHole_NegativeLength(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	there := n.dial(t, overTCP)
	for _, top := range []byte{0x80, 0xff} {
		for _, first := range []byte{fin | opText, fin | opBinary, opText, opBinary} {
			r := dialRawWS(t, n)
			r.write([]byte{first, 0xff, top, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
			r.closedWith(1002)
		}
		r := dialRawWS(t, n)
		r.write(wsFrame(opText, []byte("a")))
		r.write([]byte{fin | opContinuation, 0xff, top, 0, 0, 0, 0, 0, 0, 0})
		r.closedWith(1002)
		r = dialRawWS(t, n)
		r.write([]byte{fin | opPing, 0xff, top})
		r.closedWith(1002)
		answer := speak(t, n.tcp, []byte{top, 0xff, 0xff, 0xff, 'x'})
		if !strings.Contains(string(answer), `"maxLength":`) {
			t.Errorf("over TCP %x is answered %q", top, answer)
		}
	}
	there.none()
}

// hostile is noise that begins as something that a port takes, so that it comes far: beginnings are
// cut, spliced and have bytes changed.
func hostile(r *rand.Rand, beginnings []string) []byte {
	b := []byte(beginnings[r.IntN(len(beginnings))])
	if r.IntN(3) == 0 {
		b = b[:r.IntN(len(b)+1)]
	}
	if r.IntN(2) == 0 {
		b = append(b, beginnings[r.IntN(len(beginnings))]...)
	}
	for range r.IntN(4) {
		if len(b) > 0 {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
	}
	for range r.IntN(40) {
		b = append(b, byte(r.Uint32()))
	}
	return b
}

// Nothing that can be said on any port before anybody is known makes the node panic or stand.
func TestHole_PanicBeforeAuthentication(t *testing.T) {
	t.Parallel()
	const rounds = 150
	n := startNode(t, "logging.level=error")
	there := n.dial(t, overWS)
	tcp := func(s string) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s
	}
	ws := func(first byte, s string) string {
		return upgradeHead + string(wsFrame(first, []byte(s)))
	}
	var messages []string
	for _, topic := range []string{
		"heartbeat", "auth", "service.register", "service.list", "service.subscriptions",
		"topic.subscribe", "topic.unsubscribe", "topic.list", "topic.subscriptions",
		"log.subscribe", "log.unsubscribe", "metrics", "explain", "node.list",
	} {
		messages = append(messages, "request:system."+topic+":1.0.0:"+idA+"\n"+
			`{"topic":"a.#","action":"both","levels":["debug"],"regex":"(a*)*$","token":"x"}`)
	}
	messages = append(messages, "publish:a.b:1.0.0\nx", "response:a:1.0.0:"+idA+"\n",
		"request:a.b:1.0.0:"+idA+":"+idA+":1\n{}", ":::::\n", "publish:+.#:0.0.0\n", "\n", "")
	beginnings := map[string][]string{
		n.admin: {
			"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "GET /readyz HTTP/1.0\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n",
			"HEAD //..%2f/ HTTP/1.1\r\n\r\n",
			"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
			"GET /debug/pprof/trace?seconds=1e9 HTTP/1.1\r\nHost: x\r\n\r\n",
		},
		n.ws: {
			upgradeHead, ws(opText, "a"), ws(fin|opClose, "\x03\xe8"), ws(fin|opPing, "p"),
			"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n",
			upgradeHead + "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		},
		n.tcp: {"\x00\x00\x00\x00", "\xff\xff\xff\xff", "GET / HTTP/1.1\r\n\r\n", "\x00\x00\x40"},
	}
	for _, m := range messages {
		beginnings[n.ws] = append(beginnings[n.ws], ws(fin|opText, m))
		beginnings[n.tcp] = append(beginnings[n.tcp], tcp(m))
	}
	var all sync.WaitGroup
	for address, some := range beginnings {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(len(some))))
			for range rounds {
				speak(t, address, hostile(r, some))
			}
		})
	}
	all.Wait()
	if faults := n.counter(t, "mb_faults_total"); faults != 0 {
		t.Errorf("%d faults of the node itself", faults)
	}
	there.none()
}

// A message in fragments of a byte, or of none, costs what its bytes cost: the node holds twice of
// them and a little, others are served meanwhile, and at last it comes.
func TestHole_FragmentAmplification(t *testing.T) {
	t.Parallel()
	n := startNode(t, "logging.level=error", "loops=1")
	there := n.dial(t, overTCP)
	const attackers, rounds, atOnce = 20, 10, 1000
	begin := "request:system.heartbeat:1.0.0:" + idA + "\n{"
	var rs []*rawConn
	for range attackers {
		r := dialRawWS(t, n)
		r.write(wsFrame(opText, []byte(begin)))
		rs = append(rs, r)
	}
	before := n.counter(t, "mb_memory_charged_bytes")
	empty := []byte(strings.Repeat(string(wsFrame(opContinuation, nil)), atOnce))
	blank := []byte(strings.Repeat(string(wsFrame(opContinuation, []byte(" "))), 50))
	for range rounds {
		for _, r := range rs {
			r.write(empty)
			r.write(blank)
		}
		there.ok("system.heartbeat", "")
	}
	for _, r := range rs { // once its ping is answered, all was taken
		r.write(wsFrame(fin|opPing, []byte("all?")))
		if op, payload := r.frame(); op != opPong || string(payload) != "all?" {
			t.Fatalf("opcode %d, %q", op, payload)
		}
	}
	most := attackers * 2 * (len(begin) + rounds*50 + 128)
	if held := n.counter(t, "mb_memory_charged_bytes") - before; held > most {
		t.Errorf("%d bytes are held for %d fragmented messages, at most %d", held, attackers, most)
	}
	for _, r := range rs {
		r.write(wsFrame(fin|opContinuation, []byte("}")))
		want := "response:system.heartbeat:1.0.0:" + idA + "\n"
		if op, payload := r.frame(); op != opText || !strings.HasPrefix(string(payload), want) {
			t.Fatalf("opcode %d, %q", op, payload)
		}
	}
}

// Whoever sends byte by byte holds what has come and not what was announced, whether in a head or
// in a frame, and keeps nobody out.
func TestHole_SlowLoris(t *testing.T) {
	t.Parallel()
	const each = 60
	n := startNode(t, "logging.level=error",
		"connection.handshakeTimeout=60000", "message.payload.maxLength=1048576")
	there := n.dial(t, overTCP)
	before := n.counter(t, "mb_memory_charged_bytes")
	head := strings.Replace(upgradeHead, "\r\n\r\n", "\r\nX: "+strings.Repeat("x", 7000), 1)
	var slow []*rawConn
	var say []string
	for range each {
		slow = append(slow, dialRaw(t, n.ws), dialRawWS(t, n), dialRaw(t, n.tcp))
		say = append(say, head, string(wsFrameHead(fin|opText, 1<<20))+strings.Repeat("x", 100),
			"\x00\x10\x00\x00"+strings.Repeat("x", 100))
	}
	for at := range 60 {
		for i, r := range slow {
			r.write([]byte{say[i][at]})
		}
		if at%10 == 0 {
			there.ok("system.heartbeat", "")
		}
	}
	// Of the door's visitors 1 KiB each, of connections as much, and a partial frame.
	const most = each * (2*1024 + 2*(1024+256))
	held := 0
	eventually(t, "all of it has come", func() bool {
		held = n.counter(t, "mb_memory_charged_bytes") - before
		return held > each*3*1024
	})
	if held > most {
		t.Errorf("%d bytes are held for %d that send byte by byte, at most %d", held, 3*each, most)
	}
	for _, transport := range transports {
		n.dial(t, transport).none()
	}
	for i, r := range slow { // none was cut: what is slow is not wrong
		if _, err := r.conn.Write([]byte{say[i][60]}); err != nil {
			t.Errorf("connection %d was cut: %v", i, err)
		}
	}
}

// Clients that come back as fast as they can, however they leave, keep nobody out, and nothing of
// them stays.
func TestHole_ReconnectFlood(t *testing.T) {
	t.Parallel()
	const workers, each = 16, 60
	n := startNode(t, "logging.level=error")
	there := n.dial(t, overWS)
	memory := n.counter(t, "mb_memory_charged_bytes")
	descriptors := n.descriptors() // with the one of whoever asks for counters, which is kept
	leave := []func(c *net.TCPConn){
		func(c *net.TCPConn) { _ = c.SetLinger(0) }, // a reset, at once
		func(c *net.TCPConn) { _, _ = io.WriteString(c, upgradeHead[:50]) },
		func(c *net.TCPConn) { _, _ = io.WriteString(c, upgradeHead) },
		func(c *net.TCPConn) {
			_, _ = io.WriteString(c, upgradeHead)
			_ = c.SetLinger(0)
		},
		func(c *net.TCPConn) {
			_, _ = io.WriteString(c, upgradeHead)
			_, _ = io.ReadFull(c, make([]byte, 300)) // it is a service by now
		},
		func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "\x00\x00\x00")
			_, _ = io.ReadFull(c, make([]byte, 100))
			_ = c.SetLinger(0)
		},
	}
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range each {
				address := []string{n.ws, n.tcp}[w%2]
				c, err := net.DialTimeout("tcp", address, patience)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				leave[(w/2+i)%len(leave)](c.(*net.TCPConn))
				_ = c.Close()
			}
		})
	}
	for i := range 10 {
		n.dial(t, transports[i%2]).none()
		there.ok("system.heartbeat", "")
	}
	all.Wait()
	eventually(t, "nobody is left of them", func() bool {
		return len(items(t, there.ok("system.service.list", ""), "services")) == 1+10 &&
			n.descriptors() <= descriptors+10
	})
	eventually(t, "nothing is held for them", func() bool {
		return n.counter(t, "mb_memory_charged_bytes") <= memory+10*1024
	})
}
