package blackbox

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dialSecure makes a TLS connection to a listener, of which nothing but TLS is known.
func dialSecure(t testing.TB, address string, change func(*tls.Config)) (*tls.Conn, error) {
	t.Helper()
	cfg := ours.trust()
	if change != nil {
		change(cfg)
	}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, cfg)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, c.SetDeadline(time.Now().Add(patience))
}

// greeted reads what a node says first on a tls listener.
func greeted(t testing.TB, c *tls.Conn) {
	t.Helper()
	f, err := newTCPPeer(c).Recv(time.Now().Add(patience))
	if err != nil || !bytes.HasPrefix(f.data, []byte("publish:system.initialize:")) {
		t.Errorf("the node greets with %.60q, %v", f.data, err)
	}
}

// messageID is one that a client may choose.
const messageID = "4c1f8a52-6a3b-4f39-9d11-0c7f5f2f6f01"

func failures(reason string) string {
	return `mb_tls_handshakes_failed_total{reason="` + reason + `"}`
}

// TLS 1.2 and 1.3 are spoken, and nothing older; of what is spoken inside, only HTTP/1.1.
func TestS1_TLSVersions(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for _, c := range []struct {
		version uint16
		offers  []string
		speaks  bool
	}{
		{tls.VersionTLS10, nil, false}, {tls.VersionTLS11, nil, false},
		{tls.VersionTLS12, nil, true}, {tls.VersionTLS13, nil, true},
		{tls.VersionTLS13, []string{"h2", "http/1.1"}, true},
		{tls.VersionTLS13, []string{"h2"}, false}, {tls.VersionTLS12, []string{"h2"}, false},
	} {
		conn, err := dialSecure(t, n.wss, func(cfg *tls.Config) {
			cfg.MinVersion, cfg.MaxVersion, cfg.NextProtos = c.version, c.version, c.offers
		})
		if (err == nil) != c.speaks {
			t.Errorf("version %x, offering %v: %v", c.version, c.offers, err)
		}
		if err != nil {
			continue
		}
		if got := conn.ConnectionState().NegotiatedProtocol; c.offers != nil && got != "http/1.1" {
			t.Errorf("it agrees on %q", got)
		}
	}
	if _, err := dialSecure(t, n.wss, func(cfg *tls.Config) {
		cfg.RootCAs = x509.NewCertPool()
	}); err == nil {
		t.Error("a client takes a certificate that it does not know")
	}
	n.until(t, "the failures are counted", func(m map[string]float64) bool {
		return m[failures("no_agreement")] == 4 && m["mb_tls_handshakes_total"] == 3 &&
			m[failures("refused")] == 1
	})
}

// Who does not speak TLS is told so where HTTP is spoken, and cut elsewhere.
func TestS1_TLSGarbage(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	r := dialRaw(t, n.wss)
	r.write([]byte(upgradeHead))
	if answer, body := r.answer(); answer.StatusCode != http.StatusBadRequest ||
		!strings.Contains(body, "wss") {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	garbage := [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"), {0, 0, 0, 5, 'h'}, {0x80, 0x2E, 1, 3, 1},
		{22, 3, 1, 0xFF, 0xFF}, {22, 3, 1, 0, 0}, {22, 3, 1, 0, 4, 2, 0, 0, 0},
		append([]byte{22, 3, 1, 0, 9, 1, 0, 0, 5}, "12345"...),
		bytes.Repeat([]byte{22, 3, 1, 0x40, 0}, 10<<10),
	}
	for _, sent := range garbage {
		r := dialRaw(t, n.tls)
		_, _ = r.conn.Write(sent)
		if left, _ := io.ReadAll(r.in); len(left) > 7 { // at most an alert
			t.Errorf("% x is answered % x", sent[:min(len(sent), 9)], left)
		}
	}
	n.until(t, "all are counted", func(m map[string]float64) bool {
		return m[failures("not_tls")]+m[failures("other")] == float64(len(garbage)+1)
	})
	c, err := dialSecure(t, n.tls, nil)
	if err != nil {
		t.Fatal(err)
	}
	greeted(t, c)
}

// trickle is a connection whose bytes leave one by one, until it has sent so many.
type trickle struct {
	net.Conn
	left int
}

func (c *trickle) Write(p []byte) (int, error) {
	for i := range p {
		if c.left == 0 {
			n, err := c.Conn.Write(p[i:])
			return i + n, err
		}
		c.left--
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// Handshakes whose bytes come one by one are made; those that stay half are cut in time, and keep
// nobody out however many they are.
func TestResilience_TLSHalfHandshakes(t *testing.T) {
	t.Parallel()
	n := startNode(t, "connection.handshakeTimeout=2000")
	slow := &trickle{Conn: dialRaw(t, n.tls).conn, left: 3000}
	first := tls.Client(slow, ours.trust())
	if err := first.Handshake(); err != nil {
		t.Fatal(err)
	}
	greeted(t, first)

	hello := helloOf(t)
	var half []*rawConn
	for i := range 300 {
		r := dialRaw(t, []string{n.tls, n.wss}[i%2])
		r.write(hello[:[]int{1, 5, 100, len(hello) - 1, len(hello)}[i%5]])
		half = append(half, r)
	}
	for _, transport := range []string{overTLS, overWSS} {
		n.dial(t, transport).settle()
	}
	for _, r := range half {
		if _, err := io.Copy(io.Discard, r.in); err != nil && !isReset(err) {
			t.Error(err)
		}
	}
	m := n.until(t, "all are counted", func(m map[string]float64) bool {
		return m[failures("late")]+m[failures("gave_way")] >= float64(len(half))
	})
	if m["mb_connections_by_transport{transport=\"tls\"}"] < 1 {
		t.Error("who came in is cut, too")
	}
}

// helloOf returns the first flight of a client.
func helloOf(t testing.TB) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer func() { _ = near.Close() }()
	go func() {
		_ = tls.Client(far, ours.trust()).Handshake()
		_ = far.Close()
	}()
	buf := make([]byte, 4<<10)
	size, err := near.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:size]
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// A flood of whole handshakes that are left at once costs those who come in earnest nothing but
// time, and the node no memory that stays.
func TestResilience_TLSHandshakeFlood(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	c := n.dial(t, overTLS)
	hello := helloOf(t)
	stop := make(chan struct{})
	flooded := make(chan int)
	for range 4 {
		go func() {
			for count := 0; ; count++ {
				select {
				case <-stop:
					flooded <- count
					return
				default:
				}
				if conn, err := net.DialTimeout("tcp", n.tls, patience); err == nil {
					_, _ = conn.Write(hello)
					_ = conn.Close()
				}
			}
		}()
	}
	// From one address only part of those in the door may be: others come in.
	elsewhere := &net.Dialer{
		Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)},
	}
	for range 5 {
		c.settle()
		conn, err := tls.DialWithDialer(elsewhere, "tcp", n.tls, ours.trust())
		if err != nil {
			t.Fatal(err)
		}
		adopt(t, newTCPPeer(conn), overTLS).settle()
	}
	close(stop)
	count := 0
	for range 4 {
		count += <-flooded
	}
	n.until(t, "nobody is left in the door", func(m map[string]float64) bool {
		sum := 0.0
		for _, reason := range []string{"ended", "other", "gave_way", "refused"} {
			sum += m[failures(reason)]
		}
		return sum >= float64(count) && m["mb_tls_handshakes_total"] == 6
	})
	c.settle()
}

// Messages come whole in records of one byte, and of any length up to what the node may be told to
// take.
func TestS1_TLSRecords(t *testing.T) {
	t.Parallel()
	n := startNode(t, "message.payload.maxLength=2097152", "connection.outbound.bytes=8388608",
		"memory.limit=268435456")
	conn, err := dialSecure(t, n.tls, nil)
	if err != nil {
		t.Fatal(err)
	}
	small := adopt(t, newTCPPeer(conn), overTLS)
	small.subscribe("publish", "records.#")
	message := appendFrame(nil, []byte("publish:records.small:1.0.0\nin records of a byte"))
	for _, b := range message {
		if _, err := conn.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if m := small.fresh(); string(m.Payload) != "in records of a byte" {
		t.Errorf("it came as %v", m)
	}
	for _, transport := range []string{overTLS, overWSS} {
		c := n.dial(t, transport)
		c.subscribe("publish", "large."+transport)
		for _, size := range []int{16<<10 - 1, 16 << 10, 1 << 20} {
			payload := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			c.send("publish:large."+transport+":1.0.0", payload)
			if m := c.fresh(); string(m.Payload) != payload {
				t.Errorf("over %s %d bytes came of %d", transport, len(m.Payload), size)
			}
		}
	}
}

// Who ends its stream in order gets what it is owed, and then the end of the node's, in order, too.
// Who does not is gone.
func TestS6_TLSEnds(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := dialSecure(t, n.tls, func(cfg *tls.Config) { cfg.MaxVersion = version })
		if err != nil {
			t.Fatal(err)
		}
		const requests = 200
		all := []byte{}
		for range requests {
			all = appendFrame(all, []byte("request:system.heartbeat:1.0.0:"+messageID+"\n"))
		}
		if _, err := conn.Write(all); err != nil {
			t.Fatal(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn) // an end without close_notify is an error
		if answers := bytes.Count(got, []byte("response:system.heartbeat:")); err != nil ||
			answers != requests {
			t.Errorf("%x: %d answers of %d, then %v", version, answers, requests, err)
		}
	}
	killed := dialRaw(t, n.tls)
	conn := tls.Client(killed.conn, ours.trust())
	greeted(t, conn)
	_ = killed.conn.SetLinger(0)
	_ = killed.conn.Close() // a reset
	cut := dialRaw(t, n.tls)
	greeted(t, tls.Client(cut.conn, ours.trust()))
	_ = cut.conn.CloseWrite() // the end of the stream without close_notify
	n.until(t, "all have gone", func(m map[string]float64) bool {
		return m[`mb_connections_by_transport{transport="tls"}`] == 0
	})
}
