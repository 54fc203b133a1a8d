package door

import (
	"cmp"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mbserver/server/broker"
	"mbserver/server/config"
)

// trusting makes this machine a balancer's.
func trusting(c *config.Config) {
	c.Proxy.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

// with is trusting, with the same word for all listeners.
func with(word string) func(*config.Config) {
	return func(c *config.Config) {
		trusting(c)
		c.Proxy.Protocol = config.ProxyProtocol{WS: word, WSS: word, TCP: word, TLS: word}
	}
}

const (
	proxyV1      = "PROXY TCP4 203.0.113.9 127.0.0.1 4711 3000\r\n"
	proxyUnknown = "PROXY UNKNOWN\r\n"
)

// proxyV2 is a header of version 2 for 203.0.113.9:4711, with so many bytes of further fields.
func proxyV2(command byte, more int) string {
	rest := "\xcb\x00\x71\x09\x7f\x00\x00\x01\x12\x67\x0b\xb8" + strings.Repeat("\x04", more)
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, 0x11)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(rest)))) + rest
}

// upgrade is what a guest says after its PROXY header: nothing over TCP.
func upgrade(t broker.Transport) string {
	if t.WebSocket() {
		return upgradeHead
	}
	return ""
}

// A balancer's header says who comes, in whatever pieces it arrives.
func TestProxyHeaderInPieces(t *testing.T) {
	for _, word := range []string{config.ProxyRequired, config.ProxyOptional} {
		h := open(t, with(word))
		for _, transport := range transports {
			for header, from := range map[string]string{
				proxyV1: "203.0.113.9:4711", proxyV2(0x21, 0): "203.0.113.9:4711",
				proxyV2(0x21, 2000): "203.0.113.9:4711", proxyV2(0x20, 3): "", proxyUnknown: "",
			} {
				for _, piece := range []int{1, 11, 5000} {
					if piece == 1 && len(header) > 200 {
						continue
					}
					g := h.dial(transport)
					for rest := header + upgrade(transport); rest != ""; {
						n := min(piece, len(rest))
						g.say(rest[:n])
						rest = rest[n:]
					}
					g.shown(transport)
					h.from(cmp.Or(from, g.LocalAddr().String()))
					_ = g.Close()
				}
			}
		}
	}
}

// from waits until somebody is connected whose address is that one.
func (h *house) from(address string) {
	h.t.Helper()
	h.eventually("somebody comes from "+address, func() bool {
		h.log.mu.Lock()
		defer h.log.mu.Unlock()
		came := slices.Contains(h.log.remotes, address)
		h.log.remotes = nil
		return came
	})
}

// What belongs to the connection may come with the header.
func TestProxyHeaderWithMessages(t *testing.T) {
	h := open(t, trusting)
	g := h.dial(broker.TransportTCP)
	g.say(proxyV1 + "\x00\x00\x00\x02no")
	g.shown(broker.TransportTCP)
	if m := g.frame(); !strings.HasPrefix(m, "response:error:") {
		t.Errorf("it is answered %q", m)
	}
}

// Who should have begun with a header and has not, or should not have and has, is closed, and the
// log says why.
func TestProxyHeaderRefused(t *testing.T) {
	trusts, off := open(t, trusting), open(t, with(config.ProxyOff))
	optional, stranger := open(t, with(config.ProxyOptional)), open(t, nil)
	for _, tt := range []struct {
		name      string
		h         *house
		transport broker.Transport
		says      string
		why       []string
	}{
		{"missing", trusts, broker.TransportWS, upgradeHead,
			[]string{"missing", "proxy.trusted", "required for ws"}},
		{"missing", trusts, broker.TransportTCP, "\x00\x00\x00\x02no",
			[]string{"missing", "proxy.trusted", "required for tcp"}},
		{"malformed", trusts, broker.TransportWS, "PROXY TCP4 me you 1 2\r\n",
			[]string{"malformed"}},
		{"malformed", optional, broker.TransportTCP, proxyV2(0x2f, 0), []string{"malformed"}},
		{"without an end", trusts, broker.TransportTCP,
			"PROXY TCP4 " + strings.Repeat("1", 200), []string{"malformed", "107"}},
		{"too long", trusts, broker.TransportWS, proxyV2(0x21, 60000),
			[]string{"malformed", "4096"}},
		{"forged", stranger, broker.TransportWS, proxyV1 + upgradeHead,
			[]string{"unasked", "127.0.0.1 is not in proxy.trusted"}},
		{"forged", stranger, broker.TransportWS, proxyV2(0x21, 9) + upgradeHead,
			[]string{"unasked", "127.0.0.1 is not in proxy.trusted"}},
		{"forged", stranger, broker.TransportTCP, proxyV1, []string{"unasked", "proxy.trusted"}},
		{"forged", stranger, broker.TransportTCP, proxyV2(0x21, 9),
			[]string{"unasked", "proxy.trusted"}},
		{"off", off, broker.TransportWS, proxyV1 + upgradeHead,
			[]string{"unasked", "proxy.protocol is off for ws"}},
		{"off", off, broker.TransportTCP, proxyV1, []string{"unasked", "proxy.protocol"}},
		{"a second one", trusts, broker.TransportTCP, proxyV1 + proxyV1,
			[]string{"203.0.113.9:4711", "unasked", "proxy.protocol"}},
	} {
		g := tt.h.dial(tt.transport)
		g.say(tt.says)
		g.ended()
		from := g.LocalAddr().String()
		if tt.name == "a second one" {
			from = ""
		}
		tt.h.logged(append(tt.why, "WARN refused a PROXY header: "+from)...)
	}
}

// Where a header may come, who says nothing over TCP is welcomed after a while, who says something
// else at once.
func TestProxyOptional(t *testing.T) {
	h := open(t, with(config.ProxyOptional))
	began := time.Now()
	silent := h.dial(broker.TransportTCP)
	speaks := h.dial(broker.TransportTCP)
	speaks.say("\x00\x00\x00\x02no")
	speaks.shown(broker.TransportTCP)
	if m := speaks.frame(); !strings.HasPrefix(m, "response:error:") {
		t.Errorf("it is answered %q", m)
	}
	g := h.dial(broker.TransportWS)
	g.say(upgradeHead)
	g.shown(broker.TransportWS)
	silent.shown(broker.TransportTCP)
	if passed := time.Since(began); passed < proxyWait {
		t.Errorf("who may have sent a header was welcomed after %v", passed)
	}
	half := h.dial(broker.TransportTCP)
	half.say(proxyV1[:20])
	half.ended()
	h.logged("WARN refused a PROXY header: ", "did not end")
}

// A header that does not come in time is missing, however slowly its bytes come.
func TestProxySlowly(t *testing.T) {
	h := open(t, func(c *config.Config) {
		trusting(c)
		c.Connection.HandshakeTimeout = 100 * time.Millisecond
	})
	for _, transport := range transports {
		for _, some := range []string{"", "PROXY ", proxyV2(0x21, 500)[:300]} {
			began := time.Now()
			g := h.dial(transport)
			g.say(some)
			g.ended()
			if passed := time.Since(began); passed < 95*time.Millisecond {
				t.Errorf("%v, %q: cut after %v", transport, some, passed)
			}
		}
	}
	h.logged("WARN refused a PROXY header: ", "took too long", "required for")
}

// A balancer that only looks whether the node is there is no failure.
func TestHealthCheck(t *testing.T) {
	for _, word := range []string{config.ProxyRequired, config.ProxyOptional, config.ProxyOff} {
		h := open(t, with(word))
		for _, transport := range transports {
			if word == config.ProxyOff && !transport.WebSocket() {
				continue // it is a connection at once
			}
			for i, header := range []string{"", "", proxyUnknown, proxyV2(0x20, 0)} {
				if header != "" && (word == config.ProxyOff || !transport.WebSocket()) {
					continue
				}
				g := h.dial(transport)
				g.say(header)
				if i == 1 {
					_ = g.Conn.(*net.TCPConn).SetLinger(0)
				}
				_ = g.Close()
			}
		}
		h.logged("DEBUG health check: 127.0.0.1")
		h.eventually("nobody is in the door", func() bool { return h.broker.Visitors.Load() == 0 })
		if n := h.broker.Arrivals.Failed.Read(0).Total; n != 0 {
			t.Errorf("%s: %d health checks are failures", word, n)
		}
	}
}

// Who comes through a balancer has a share of the handshakes as one of its own address, the
// balancer as many as there may be.
func TestSharesBehindABalancer(t *testing.T) {
	h := open(t, func(c *config.Config) {
		trusting(c)
		c.Loops, c.Memory.Limit = 1, 16<<20
	})
	share := h.most / addressShare
	var silent []*guest
	for range share + 3 {
		silent = append(silent, h.dial(broker.TransportWS))
	}
	h.eventually("all are in the door", func() bool {
		return h.broker.Visitors.Load() == int64(len(silent))
	})
	for i, g := range silent {
		g.say(proxyV1 + "GET ")
		h.eventually("it has a share", func() bool {
			return h.broker.Visitors.Load() == int64(len(silent)-max(i+1-share, 0))
		})
	}
	if status, body := silent[0].answer(); status != 503 ||
		!strings.Contains(body, "handshake_limit") {
		t.Errorf("the oldest of that address is answered %d %q", status, body)
	}
	h.enterAs(broker.TransportWS, strings.Replace(proxyV1, ".9", ".10", 1))
}

// enterAs is a whole arrival that begins with a header.
func (h *house) enterAs(t broker.Transport, header string) *guest {
	h.t.Helper()
	g := h.dial(t)
	g.say(header + upgrade(t))
	g.shown(t)
	return g
}

// The door may close while balancers' connections are in it.
func TestCloseWithProxies(t *testing.T) {
	h := open(t, with(config.ProxyOptional))
	waits, half := h.dial(broker.TransportTCP), h.dial(broker.TransportWS)
	half.say(proxyV1 + "GET ")
	h.eventually("both are in the door", func() bool { return h.broker.Visitors.Load() == 2 })
	h.Close(t.Context())
	if m := waits.frame(); !strings.Contains(m, "draining") {
		t.Errorf("who waited is told %q", m)
	}
	if status, body := half.answer(); status != 503 || !strings.Contains(body, "draining") {
		t.Errorf("a handshake is cut with %d %q", status, body)
	}
}
