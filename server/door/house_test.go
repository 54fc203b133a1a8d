package door

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mbserver/server/broker"
	"mbserver/server/config"
	"mbserver/server/reactor"
	"mbserver/server/secure"
)

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// house is a door with the floors below it.
type house struct {
	*Door
	t   testing.TB
	log *logLines
}

// logLines keeps what is logged. Any goroutine.
type logLines struct {
	slog.Handler
	hears func(message string) // nil: nobody does

	mu      sync.Mutex
	lines   []string // guarded by mu: level and message
	remotes []string // guarded by mu: who has connected
}

func (l *logLines) Enabled(context.Context, slog.Level) bool { return true }
func (l *logLines) WithAttrs([]slog.Attr) slog.Handler       { return l }

func (l *logLines) Handle(_ context.Context, r slog.Record) error {
	if l.hears != nil {
		l.hears(r.Message)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Level.String()+" "+r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "remote" && strings.HasPrefix(r.Message, "connected: ") {
			l.remotes = append(l.remotes, a.Value.String())
		}
		return true
	})
	return nil
}

// logged waits for a line that has all the words.
func (h *house) logged(words ...string) {
	h.t.Helper()
	h.eventually(fmt.Sprintf("a line with %q", words), func() bool {
		h.log.mu.Lock()
		defer h.log.mu.Unlock()
		return slices.ContainsFunc(h.log.lines, func(line string) bool {
			return !slices.ContainsFunc(words, func(w string) bool {
				return !strings.Contains(line, w)
			})
		})
	})
}

var discard = slog.New(slog.DiscardHandler)

// open makes a house of two loops, with its door open.
func open(t testing.TB, change func(*config.Config)) *house {
	t.Helper()
	return openSlowly(t, change, nil)
}

// openSlowly is open with somebody who hears each line of the log while it is written.
func openSlowly(
	t testing.TB, change func(*config.Config), hears func(d *Door, message string),
) *house {
	t.Helper()
	cfg := config.Default()
	cfg.Host = "127.0.0.1"
	cfg.Ports = config.Ports{WS: config.AnyPort, TCP: config.AnyPort}
	cfg.Loops = 2
	if change != nil {
		change(&cfg)
	}
	lines := &logLines{Handler: slog.DiscardHandler}
	log := slog.New(lines)
	b, err := broker.New(cfg, broker.Options{Logger: log, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64 // no line is left out of the log
	b.Throttle.Now = func() time.Time { return time.Unix(asked.Add(1)*60, 0) }
	if err := b.Open(); err != nil {
		t.Fatal(err)
	}
	var certificates *secure.Certificates
	if cfg.Ports.WSS != 0 || cfg.Ports.TLS != 0 {
		certificates = certify(t)
	}
	d, err := Bind(&cfg, b, certificates, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	if hears != nil {
		lines.hears = func(message string) { hears(d, message) }
	}
	room, err := reactor.Start(b, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Open(room); err != nil {
		t.Fatal(err)
	}
	h := &house{Door: d, t: t, log: lines}
	t.Cleanup(func() {
		h.Close(context.Background())
		h.nobody() // Loops that have stopped do not say so: it would wait for them.
		_ = room.Stop(context.Background())
		b.Stop(context.Background())
		if n := h.broker.Visitors.Load(); n != 0 {
			t.Errorf("%d visitors are left in the door", n)
		}
	})
	return h
}

// nobody wants every place to have been given back.
func (h *house) nobody() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if left := h.broker.Drain(ctx); left != 0 {
		h.t.Errorf("%d places are still taken", left)
	}
}

// eventually polls until ok holds.
func (h *house) eventually(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("it never came: %s", what)
		}
	}
}

// hold has a loop stand still, from before it returns until release is called, or the test ends.
func (h *house) hold(loop int) (release func()) {
	begun, over := make(chan struct{}), make(chan struct{})
	h.gates[loop].room.Do(func() {
		close(begun)
		<-over
	})
	<-begun
	release = sync.OnceFunc(func() { close(over) })
	h.t.Cleanup(release)
	return release
}

// guest is the other end of an arrival.
type guest struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

func (h *house) dial(t broker.Transport) *guest {
	h.t.Helper()
	c, err := net.DialTimeout("tcp", h.Addr(t.String()), patience)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.guest(c)
}

// dialFrom is dial from 127.0.0.last.
func (h *house) dialFrom(t broker.Transport, last byte) *guest {
	h.t.Helper()
	d := net.Dialer{
		Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)},
	}
	c, err := d.Dial("tcp", h.Addr(t.String()))
	if err != nil {
		h.t.Skipf("this system has one loopback address: %v", err)
	}
	return h.guest(c)
}

func (h *house) guest(c net.Conn) *guest {
	h.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &guest{Conn: c, t: h.t, in: bufio.NewReader(c)}
}

func (g *guest) say(text string) {
	g.t.Helper()
	if _, err := io.WriteString(g, text); err != nil {
		g.t.Fatal(err)
	}
}

// frame reads a message over TCP.
func (g *guest) frame() string {
	g.t.Helper()
	var head [4]byte
	_, err := io.ReadFull(g.in, head[:])
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if err == nil {
		_, err = io.ReadFull(g.in, body)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return string(body)
}

// answer reads an HTTP answer, its body too unless that is a WebSocket.
func (g *guest) answer() (status int, body string) {
	g.t.Helper()
	resp, err := http.ReadResponse(g.in, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp.StatusCode, ""
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// shown wants the welcome.
func (g *guest) shown(t broker.Transport) {
	g.t.Helper()
	first := ""
	if t == broker.TransportWS {
		if status, _ := g.answer(); status != http.StatusSwitchingProtocols {
			g.t.Fatalf("the handshake was answered %d", status)
		}
		b, err := g.in.Peek(64)
		if err != nil {
			g.t.Fatal(err)
		}
		first = string(b[4:])
	} else {
		first = g.frame()
	}
	if !strings.HasPrefix(first, "publish:system.initialize:") {
		g.t.Fatalf("the first message is %q", first)
	}
}

// ended wants the end of the stream, whatever comes before.
func (g *guest) ended() {
	g.t.Helper()
	_, err := io.Copy(io.Discard, g.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		g.t.Fatal("the node does not end it")
	}
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		g.t.Fatal(err)
	}
}

const upgradeHead = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n" +
	"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Version: 13\r\n\r\n"

var transports = []broker.Transport{broker.TransportTCP, broker.TransportWS}

// enter is a whole arrival.
func (h *house) enter(t broker.Transport) *guest {
	h.t.Helper()
	g := h.dial(t)
	if t == broker.TransportWS {
		g.say(upgradeHead)
	}
	g.shown(t)
	return g
}
