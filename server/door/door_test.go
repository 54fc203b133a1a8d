package door

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/codec"
	"mbserver/server/broker"
	"mbserver/server/config"
)

// Arrivals of both transports are shown in, on all loops.
func TestArrivalsAreShownIn(t *testing.T) {
	h := open(t, nil)
	for range 20 {
		for _, transport := range transports {
			h.enter(transport)
		}
	}
	if n := h.broker.Visitors.Load(); n != 0 {
		t.Errorf("%d visitors", n)
	}
}

// A handshake may come in pieces of any size, and is not parsed once for each of them.
func TestHandshakeInPieces(t *testing.T) {
	h := open(t, nil)
	long := strings.Replace(upgradeHead, "\r\n\r\n",
		strings.Repeat("\r\nX-Filler: "+strings.Repeat("x", 80), 80)+"\r\n\r\n", 1)
	for _, tt := range []struct {
		head  string
		piece int
	}{{upgradeHead, 1}, {upgradeHead, 7}, {long, 100}, {long, 5000}} {
		g := h.dial(broker.TransportWS)
		for rest := tt.head; rest != ""; {
			n := min(tt.piece, len(rest))
			g.say(rest[:n])
			rest = rest[n:]
		}
		g.shown(broker.TransportWS)
	}

	v, parsed := &visitor{}, 0
	for n := 1; n <= len(long); n++ {
		head := []byte(long[:n])
		if v.worthParsing(head) {
			v.parsed = n
			parsed++
		}
		v.head = head
	}
	if v.parsed != len(long) {
		t.Errorf("the end of the head was not seen: %d of %d bytes parsed", v.parsed, len(long))
	}
	if most := parseAlways + 8; parsed > most {
		t.Errorf("a head that comes byte by byte was parsed %d times, at most %d", parsed, most)
	}
	endless := make([]byte, codec.MaxHandshake)
	if v := (&visitor{parsed: len(endless) - 1, head: endless[:len(endless)-1]}); !v.worthParsing(
		endless) {
		t.Error("a head without an end is not looked at when it is as long as one may be")
	}
}

// Who may not enter is told why, and takes nobody's place.
func TestConnectionLimit(t *testing.T) {
	h := open(t, func(c *config.Config) { c.Connection.MaxConcurrent = 2 })
	first, _ := h.enter(broker.TransportTCP), h.enter(broker.TransportWS)
	for range 3 {
		g := h.dial(broker.TransportTCP)
		if m := g.frame(); !strings.Contains(m, "connection_limit") {
			t.Errorf("the refusal is %q", m)
		}
		g.ended()
		_ = g.Close() // One that stays is given a second, see TestTimeIsBounded.
		g = h.dial(broker.TransportWS)
		g.say(upgradeHead + "and more than it was asked for")
		status, body := g.answer()
		if status != 503 || !strings.Contains(body, "connection_limit") {
			t.Errorf("the refusal is %d %q", status, body)
		}
		g.ended()
		_ = g.Close()
	}
	_ = first.Close()
	h.eventually("a place becomes free", func() bool {
		g := h.dial(broker.TransportTCP)
		if strings.HasPrefix(g.frame(), "publish:system.initialize:") {
			return true
		}
		return g.Close() != nil
	})
	h.eventually("the refused are gone", func() bool { return h.broker.Visitors.Load() == 0 })
	if n := h.broker.Arrivals.Rejected.Read(0).Total; n < 6 {
		t.Errorf("%d refusals were counted", n)
	}
}

// Half handshakes take nobody's place: when there are as many as there may be, the oldest gives
// way, of the newest's address first. It is told so. Who completes its handshake enters, and over
// TCP everybody.
func TestHalfHandshakes(t *testing.T) {
	h := open(t, func(c *config.Config) {
		c.Loops, c.Connection.MaxConcurrent = 1, 6
		c.Memory.Limit = 16 << 20 // 85 visitors
	})
	share := h.most / addressShare
	var half []*guest
	for i := range 3 * h.most {
		g := h.dial(broker.TransportWS)
		g.say(upgradeHead[:1+i%(len(upgradeHead)-1)])
		half = append(half, g)
	}
	for _, g := range half[:len(half)-share] {
		status, body := g.answer()
		if status != 503 || !strings.Contains(body, "handshake_limit") {
			t.Fatalf("the refusal is %d %q", status, body)
		}
		g.ended()
	}
	if n := h.broker.Visitors.Load(); n != int64(share) {
		t.Errorf("%d of one address are in the door, its share is %d", n, share)
	}
	h.eventually("half handshakes are charged", func() bool { // The last one counts before.
		return h.broker.Arriving.Load() >= int64(share*visitorCharge)
	})
	for range 3 {
		for _, transport := range transports {
			h.enter(transport)
		}
	}
	g := h.dial(broker.TransportTCP)
	if m := g.frame(); !strings.Contains(m, "connection_limit") {
		t.Errorf("the refusal is %q", m)
	}
	g.ended()
	last := half[len(half)-1]
	_ = last.Close()
	h.eventually("a place in the door becomes free", func() bool {
		return h.broker.Visitors.Load() < int64(share)
	})
}

// With visitors of many addresses the oldest of all gives way; refusals over TCP, which are heard
// out, before any handshake; never a handshake for one.
func TestOldestGivesWay(t *testing.T) {
	h := open(t, func(c *config.Config) {
		c.Loops, c.Connection.MaxConcurrent = 1, 1
		c.Memory.Limit = 16 << 20
	})
	h.enter(broker.TransportTCP)
	from := func(i int) *guest { return h.dialFrom(broker.TransportWS, byte(1+i)) }
	refused := h.dial(broker.TransportTCP)
	if m := refused.frame(); !strings.Contains(m, "connection_limit") {
		t.Errorf("the refusal is %q", m)
	}
	var half []*guest
	for i := range h.most {
		g := from(i)
		g.say("GET ")
		half = append(half, g)
		h.eventually("it is in the door", func() bool {
			return h.broker.Visitors.Load() == int64(min(i+2, h.most))
		})
	}
	refused.ended() // before its time was over
	g := h.dial(broker.TransportTCP)
	if m := g.frame(); !strings.Contains(m, "connection_limit") {
		t.Errorf("the refusal is %q", m)
	}
	g.ended()
	for i := range 3 {
		from(100 + i).say("GET ")
		if status, body := half[i].answer(); status != 503 ||
			!strings.Contains(body, "handshake_limit") {
			t.Fatalf("the oldest is answered %d %q", status, body)
		}
	}
	half[3].say(upgradeHead[4:]) // it completes its handshake, and there is no place
	if status, body := half[3].answer(); status != 503 ||
		!strings.Contains(body, "connection_limit") {
		t.Errorf("the refusal is %d %q", status, body)
	}
}

// In a full door the newcomer's own address gives way first, when that has its share: nobody else's
// handshake ends for it, however old, and however many come.
func TestOwnAddressGivesWay(t *testing.T) {
	h := open(t, func(c *config.Config) { c.Loops, c.Memory.Limit = 1, 16<<20 })
	share := h.most / addressShare
	var others, crowd []*guest
	come := func(all *[]*guest, address byte) {
		g := h.dialFrom(broker.TransportWS, address)
		g.say("GET ")
		*all = append(*all, g)
		h.eventually("it is in the door", func() bool {
			return h.broker.Visitors.Load() == int64(min(len(others)+len(crowd), h.most))
		})
	}
	for i := range h.most - share {
		come(&others, byte(2+i))
	}
	for range 3 * share {
		come(&crowd, 1)
	}
	for _, g := range crowd[:2*share] {
		if status, body := g.answer(); status != 503 || !strings.Contains(body, "handshake_limit") {
			t.Fatalf("who gives way is answered %d %q", status, body)
		}
	}
	for _, g := range others {
		g.say(upgradeHead[4:])
		g.shown(broker.TransportWS)
	}
}

// The door is never so full that descriptors run out: places are fewer before, and who finds none
// is answered.
func TestPlacesOfDescriptors(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }()
	short := unix.Rlimit{Cur: uint64(filesOpen()) + 200, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &short); err != nil {
		t.Fatal(err)
	}
	h := open(t, nil)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil { // the guests need some too
		t.Fatal(err)
	}
	entered := 0
	for {
		g := h.dial(broker.TransportTCP)
		m := g.frame()
		if strings.Contains(m, "connection_limit") {
			break
		}
		if entered++; entered > 200 {
			t.Fatalf("%d connections with 200 descriptors", entered)
		}
	}
	if entered < 100 {
		t.Errorf("%d connections with 200 descriptors", entered)
	}
	g := h.dial(broker.TransportWS)
	g.say(upgradeHead)
	if status, body := g.answer(); status != 503 || !strings.Contains(body, "connection_limit") {
		t.Errorf("the refusal is %d %q", status, body)
	}
}

// A handshake that does not end in time is cut, as is a refused peer that does not leave; its place
// is free again.
func TestTimeIsBounded(t *testing.T) {
	const limit = 100 * time.Millisecond
	h := open(t, func(c *config.Config) {
		c.Connection.MaxConcurrent = 3
		c.Connection.HandshakeTimeout = limit
	})
	began := time.Now()
	silent, halfway := h.dial(broker.TransportWS), h.dial(broker.TransportWS)
	halfway.say(upgradeHead[:40])
	bad := h.dial(broker.TransportWS)
	bad.say("nonsense\r\n\r\n")
	if status, _ := bad.answer(); status != 400 {
		t.Errorf("nonsense is answered %d", status)
	}
	for _, g := range []*guest{silent, halfway} {
		g.ended()
		if passed := time.Since(began); passed < limit-5*time.Millisecond {
			t.Errorf("a handshake was cut after %v", passed)
		}
	}
	h.eventually("nobody is in the door", func() bool { return h.broker.Visitors.Load() == 0 })
	if passed := time.Since(began); passed < refusedTime-limit {
		t.Errorf("a refused peer was closed after %v, while it might still read", passed)
	}
	for range 3 {
		h.enter(broker.TransportTCP)
	}
	if n := h.broker.Arrivals.Failed.Read(0).Total; n != 3 {
		t.Errorf("%d failures were counted", n)
	}
}

// Peers that end or break off in their handshake leave nothing.
func TestHandshakesThatEnd(t *testing.T) {
	h := open(t, nil)
	for i := range 40 {
		g := h.dial(broker.TransportWS)
		g.say(upgradeHead[:i])
		if i%2 == 0 {
			_ = g.Conn.(*net.TCPConn).SetLinger(0)
		}
		_ = g.Close()
	}
	h.eventually("all have failed", func() bool {
		return h.broker.Arrivals.Failed.Read(0).Total == 40 && h.broker.Visitors.Load() == 0
	})
}

// Without descriptors the door rests, and goes on when there are some.
func TestShortageOfDescriptors(t *testing.T) {
	h := open(t, nil)
	before := h.enter(broker.TransportTCP)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // the test is over
	// Descriptors are handed out from the lowest: this is the last one there may be.
	short := unix.Rlimit{Cur: uint64(fd) + 1, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &short); err != nil {
		t.Fatal(err)
	}
	to := h.listeners[1].address
	if err := unix.Connect(fd, &unix.SockaddrInet4{
		Port: to.Port, Addr: [4]byte(to.IP.To4()),
	}); err != nil {
		t.Fatal(err)
	}
	h.eventually("the door has failed to accept more than once", func() bool {
		return h.broker.Arrivals.Failed.Read(0).Total >= 3
	})
	before.say("\x00\x00\x00\x02no") // a message that is answered
	if m := before.frame(); !strings.HasPrefix(m, "response:error:") {
		t.Errorf("whom the node has is answered %q", m)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := unix.Read(fd, buf)
	if err != nil || !strings.Contains(string(buf[:n]), "initialize") {
		t.Errorf("who waited is greeted with %q, %v", buf[:max(n, 0)], err)
	}
	h.enter(broker.TransportWS)
}

// The door may close while arrivals are on their way: each of them is shown in or ended.
func TestCloseWithArrivalsInFlight(t *testing.T) {
	for range 20 {
		h := open(t, nil)
		var all sync.WaitGroup
		stop := make(chan struct{})
		for i := range 4 {
			all.Go(func() {
				transport := transports[i%2]
				for {
					select {
					case <-stop:
						return
					default:
					}
					c, err := net.DialTimeout("tcp", h.Addr(transport.String()), patience)
					if err != nil {
						return // the listener is closed
					}
					_ = c.SetDeadline(time.Now().Add(patience))
					_, _ = io.WriteString(c, upgradeHead[:len(upgradeHead)*(i/2+1)/2])
					_, err = c.Read(make([]byte, 16))
					if e, ok := err.(net.Error); ok && e.Timeout() {
						t.Error("an arrival was forgotten")
					}
					_ = c.Close()
				}
			})
		}
		time.Sleep(2 * time.Millisecond)
		h.Close(context.Background())
		if n := h.broker.Visitors.Load(); n != 0 {
			t.Errorf("%d visitors after Close", n)
		}
		close(stop)
		all.Wait()
		h.nobody()
	}
}

// Close cuts handshakes at once, and hears those out who were refused.
func TestCloseHearsOut(t *testing.T) {
	h := open(t, func(c *config.Config) { c.Connection.MaxConcurrent = 1 })
	there := h.enter(broker.TransportTCP)
	halfway := h.dial(broker.TransportWS)
	halfway.say(upgradeHead[:40])
	h.eventually("it is in the door", func() bool { return h.broker.Visitors.Load() == 1 })
	refused := h.dial(broker.TransportTCP)
	h.eventually("both are in the door", func() bool { return h.broker.Visitors.Load() == 2 })
	began := time.Now()
	closed := make(chan struct{})
	go func() {
		h.Close(context.Background())
		close(closed)
	}()
	if status, body := halfway.answer(); status != 503 || !strings.Contains(body, "draining") ||
		!strings.Contains(body, `"retryAfterMs":1000`) {
		t.Errorf("a handshake is cut with %d %q", status, body)
	}
	halfway.ended()
	if passed := time.Since(began); passed > refusedTime/2 {
		t.Errorf("a handshake was cut after %v", passed)
	}
	if m := refused.frame(); !strings.Contains(m, "connection_limit") {
		t.Errorf("the refusal is %q", m)
	}
	_ = refused.Close()
	<-closed
	_ = there.Close()
	h.Close(context.Background()) // once more changes nothing
	if c, err := net.Dial("tcp", h.Addr("tcp")); err == nil {
		_ = c.Close()
		t.Error("it still listens")
	}
}

// A door that was never opened can be closed, and frees its ports.
// Whoever waits already when the door opens comes in at once, and may have all listeners rest for a
// moment, however slowly they were made known.
func TestOpenWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	came := make(map[string]net.Conn)
	h := openSlowly(t, nil, func(d *Door, message string) {
		if message != "listening" {
			return
		}
		if len(came) == 0 {
			var before atomic.Bool
			d.turnstile.pressed = func() bool { return !before.Swap(true) }
			for _, l := range d.listeners {
				c, err := net.Dial("tcp", l.address.String())
				if err != nil {
					t.Error(err)
					return
				}
				came[l.transport.String()] = c
			}
		}
		time.Sleep(4 * pauseLook)
	})
	for _, c := range came {
		defer c.Close()
	}
	_ = came["tcp"].SetReadDeadline(time.Now().Add(patience))
	if _, err := came["tcp"].Read(make([]byte, 1)); err != nil {
		t.Errorf("it is not welcome: %v", err)
	}
	for _, transport := range transports {
		h.enter(transport)
	}
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	for _, line := range h.log.lines {
		if strings.Contains(line, "fault") {
			t.Error(line)
		}
	}
}

func TestCloseBeforeOpen(t *testing.T) {
	cfg := config.Default()
	cfg.Host = "127.0.0.1"
	cfg.Ports = config.Ports{WS: config.AnyPort, TCP: config.AnyPort}
	for range 2 {
		d, err := Bind(&cfg, new(broker.Broker), nil, nil, discard)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Ports.TCP = d.listeners[1].address.Port
		if _, err := Bind(&cfg, new(broker.Broker), nil, nil, discard); err == nil {
			t.Error("a port was bound twice")
		}
		d.Close(context.Background())
		d.Close(context.Background())
	}
}
