package blackbox

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// head is upgradeHead with other fields: the first is Host when it begins so.
func head(fields ...string) []byte {
	text := upgradeHead
	if len(fields) > 0 && strings.HasPrefix(fields[0], "Host:") {
		text = strings.Replace(text, "Host: localhost", fields[0], 1)
		fields = fields[1:]
	}
	for _, f := range fields {
		text = strings.Replace(text, "\r\n\r\n", "\r\n"+f+"\r\n\r\n", 1)
	}
	return []byte(text)
}

// enterWith upgrades with what comes before the messages, and answers as a client that has service
// operations.
func enterWith(t testing.TB, n *node, transport string, before []byte) *client {
	t.Helper()
	if transport == overTCP {
		r := dialRaw(t, n.tcp)
		r.write(before)
		return adopt(t, newTCPPeer(r.conn), overTCP)
	}
	r := dialRaw(t, n.ws)
	r.write(before)
	r.upgraded()
	r.initialized()
	return &client{t: t, transport: overWS}
}

// refusal reads what a connection over a transport is refused with: the HTTP status, 0 over TCP,
// and the error.
func refusal(t testing.TB, r *rawConn, transport string) (status int, e errorBody) {
	t.Helper()
	if transport == overTCP {
		c := &client{t: t, peer: newTCPPeer(r.conn), transport: overTCP}
		e = c.expectErrorHead()
		r.ended()
		return 0, e
	}
	resp, body := r.answer()
	var object struct{ Error errorBody }
	if err := json.Unmarshal([]byte(body), &object); err != nil {
		t.Fatalf("%s with %q: %v", resp.Status, body, err)
	}
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("content type %q", kind)
	}
	checkTimestamp(t, object.Error.Timestamp)
	r.ended()
	return resp.StatusCode, object.Error
}

// wantRefused wants an error whose details are exactly those.
func wantRefused(t testing.TB, r *rawConn, transport string, status int, code, details string) {
	t.Helper()
	got, e := refusal(t, r, transport)
	if transport == overTCP {
		status = 0
	}
	has, err := json.Marshal(e.Details)
	if got != status || e.Code != code || string(has) != details || err != nil {
		t.Errorf("over %s: %d %s %s, want %d %s %s",
			transport, got, e.Code, has, status, code, details)
	}
}

// address is where a transport's listener is.
func (n *node) address(transport string) string {
	return map[string]string{overTCP: n.tcp, overWS: n.ws}[transport]
}

// says waits until the node's log has a text.
func (n *node) says(text string) {
	n.t.Helper()
	eventually(n.t, "the log has "+text, func() bool {
		return strings.Contains(n.out.String(), text)
	})
}

// One address has as many connections as it may, over all listeners together; another has its own,
// and who leaves makes room.
func TestS4_PerAddress(t *testing.T) {
	t.Parallel()
	n := startNode(t, "connection.max.perAddress=2")
	a, b := n.dial(t, overTCP), n.dial(t, overWS)
	for _, transport := range []string{overTCP, overWS} {
		for range 3 {
			r := dialRaw(t, n.address(transport))
			if transport == overWS {
				r.write([]byte(upgradeHead))
			}
			wantRefused(t, r, transport, 429, "RATE_LIMIT_EXCEEDED",
				`{"limit":2,"scope":"address"}`)
		}
	}
	other := &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	dialRawWSBy(t, other, n).beat()
	a.none()
	_ = a.peer.Close()
	eventually(t, "who has left makes room", func() bool {
		p, err := dialTCP(n.tcp)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t: t, peer: p, transport: overTCP}
		if c.recv().Action == "publish" {
			t.Cleanup(func() { _ = p.Close() })
			return true
		}
		return false
	})
	b.none()
	n.says("connection.max.perAddress")
}

// Clients behind a balancer are counted by their own address, those of IPv6 by their /64; the
// balancer itself is not.
func TestS4_PerAddressBehindABalancer(t *testing.T) {
	t.Parallel()
	n := startNode(t, "connection.max.perAddress=1", "proxy.trusted=127.0.0.1",
		`proxy.protocol={"ws":"optional"}`)
	from := func(address string) []byte {
		family := "TCP4"
		if strings.Contains(address, ":") {
			family = "TCP6"
		}
		return fmt.Appendf(nil, "PROXY %s %s %s 4711 3001\r\n", family, address, address)
	}
	enterWith(t, n, overTCP, from("203.0.113.9"))
	enterWith(t, n, overTCP, from("2001:db8::1"))
	enterWith(t, n, overTCP, from("2001:db8:0:1::1"))
	for range 3 {
		enterWith(t, n, overTCP, []byte("PROXY UNKNOWN\r\n")) // the balancer's own
	}
	const details = `{"limit":1,"scope":"address"}`
	for _, address := range []string{"203.0.113.9", "2001:db8:0:0:ffff::2"} {
		r := dialRaw(t, n.tcp)
		r.write(from(address))
		wantRefused(t, r, overTCP, 429, "RATE_LIMIT_EXCEEDED", details)
		r = dialRaw(t, n.ws)
		r.write(slices.Concat(from(address), []byte(upgradeHead)))
		wantRefused(t, r, overWS, 429, "RATE_LIMIT_EXCEEDED", details)
		r = dialRaw(t, n.ws)
		r.write(head("X-Forwarded-For: 198.51.100.7, " + address))
		wantRefused(t, r, overWS, 429, "RATE_LIMIT_EXCEEDED", details)
	}
	// Forged: this client's own word does not count, whatever it says it is.
	r := dialRaw(t, n.ws)
	r.write(slices.Concat(from("203.0.113.9"), head("X-Forwarded-For: 198.51.100.7")))
	wantRefused(t, r, overWS, 429, "RATE_LIMIT_EXCEEDED", details)
}

// remotes are the addresses of all connections, as the node shows them.
func remotes(c *client) (all []string) {
	c.t.Helper()
	for _, s := range items(c.t, c.call("system.service.list", `{}`).object(c.t), "services") {
		remote, _ := s["remote"].(string)
		all = append(all, remote)
	}
	return all
}

// What a balancer says of who comes is what the node shows; what anybody else says is not.
func TestS10_ClientAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, transport string
		settings        []string
		before          []byte
		want            string // "": the socket's own
	}{
		{"PROXY 1", overTCP, []string{"proxy.trusted=127.0.0.0/8"},
			[]byte("PROXY TCP4 203.0.113.9 10.0.0.1 4711 3001\r\n"), "203.0.113.9:4711"},
		{"PROXY 1, unknown", overTCP, []string{"proxy.trusted=127.0.0.0/8"},
			[]byte("PROXY UNKNOWN\r\n"), ""},
		{"PROXY 2", overWS, []string{"proxy.trusted=127.0.0.0/8"},
			slices.Concat([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"+
				"\xcb\x00\x71\x09\x7f\x00\x00\x01\x12\x67\x0b\xb8"), head()), "203.0.113.9:4711"},
		{"PROXY 2, local", overWS, []string{"proxy.trusted=127.0.0.0/8"},
			slices.Concat([]byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"), head()), ""},
		{"X-Forwarded-For", overWS,
			[]string{"proxy.trusted=127.0.0.1,10.0.0.0/8", `proxy.protocol={"ws":"off"}`},
			head("X-Forwarded-For: 198.51.100.7", "X-Forwarded-For: 203.0.113.9, 10.1.1.1"),
			"203.0.113.9:0"},
		{"Forwarded", overWS, []string{"proxy.trusted=127.0.0.1", `proxy.protocol={"ws":"off"}`},
			head(`Forwarded: for=198.51.100.7;proto=https, for="[2001:db8::9]:4711"`),
			"[2001:db8::9]:4711"},
		{"both, behind PROXY", overWS, []string{"proxy.trusted=127.0.0.1,10.0.0.0/8"},
			slices.Concat([]byte("PROXY TCP4 10.0.0.9 10.0.0.1 1 2\r\n"),
				head("X-Forwarded-For: 203.0.113.9")), "203.0.113.9:0"},
		{"a client's own word", overWS, nil, head("X-Forwarded-For: 203.0.113.9",
			"Forwarded: for=203.0.113.9", "X-Real-IP: 203.0.113.9"), ""},
		{"a client's own word behind PROXY", overWS, []string{"proxy.trusted=127.0.0.1"},
			slices.Concat([]byte("PROXY TCP4 203.0.113.9 10.0.0.1 4711 2\r\n"),
				head("X-Forwarded-For: 198.51.100.7")), "203.0.113.9:4711"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, append(tt.settings, "logging.format=json")...)
			c := enterWith(t, n, tt.transport, tt.before)
			eventually(t, "it is logged", func() bool {
				return strings.Contains(n.out.String(), `"connected: `)
			})
			line := n.out.String()
			line = line[strings.Index(line, `"connected: `):]
			if tt.want == "" {
				tt.want = "127.0.0.1:"
			}
			if !strings.Contains(line, `"remote":"`+tt.want) {
				t.Errorf("the log says %s, want %s", line, tt.want)
			}
			if tt.transport == overTCP && !strings.HasPrefix(remotes(c)[0], tt.want) {
				t.Errorf("the list says %q, want %s", remotes(c), tt.want)
			}
		})
	}
}

// Before TLS comes the balancer's header; inside, what a client says by itself does not count.
func TestS10_ClientAddressOverTLS(t *testing.T) {
	t.Parallel()
	n := startNode(t, "proxy.trusted=127.0.0.1", `proxy.protocol={"ws":"off","tcp":"off"}`)
	seen := n.dial(t, overTCP)
	behind := func(address, header string) *tls.Conn {
		r := dialRaw(t, address)
		r.write([]byte(header))
		return tls.Client(r.conn, ours.trust())
	}
	adopt(t, newTCPPeer(behind(n.tls, "PROXY TCP4 203.0.113.9 10.0.0.1 4711 1\r\n")), overTLS)
	adopt(t, newTCPPeer(behind(n.tls, "PROXY UNKNOWN\r\n")), overTLS)
	wss := behind(n.wss, "PROXY TCP6 2001:db8::9 ::1 4711 1\r\n")
	if _, err := wss.Write(head("X-Forwarded-For: 198.51.100.7")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(wss), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	all := remotes(seen)
	for _, want := range []string{"203.0.113.9:4711", "[2001:db8::9]:4711"} {
		if !slices.Contains(all, want) || len(all) != 4 {
			t.Errorf("nobody is from %s: %q", want, all)
		}
	}
	for _, address := range []string{n.tls, n.wss} {
		if err := behind(address, "").Handshake(); err == nil {
			t.Error("a connection without a header got through")
		}
	}
	n.says("proxy.protocol is required for")
}

// Of headers that contradict each other, or cannot be read, none is believed.
func TestS10_ForwardedRefused(t *testing.T) {
	t.Parallel()
	n := startNode(t, "proxy.trusted=127.0.0.1", `proxy.protocol={"ws":"off"}`)
	for _, fields := range [][]string{
		{"X-Forwarded-For: 203.0.113.9", "Forwarded: for=198.51.100.7"},
		{`Forwarded: for="203.0.113.9`}, {"Forwarded: for=a;for=b"},
	} {
		r := dialRaw(t, n.ws)
		r.write(head(fields...))
		if status, e := refusal(t, r, overWS); status != 400 || e.Code != "MALFORMED_MESSAGE" {
			t.Errorf("%q: %d %+v", fields, status, e)
		}
	}
}

// A web page from elsewhere does not get in, nor one whose name was rebound to this machine
// (protocol §10, Origins).
func TestS10_Origins(t *testing.T) {
	t.Parallel()
	const (
		byOrigin = `{"key":"ws.origins","reason":"origin"}`
		byHost   = `{"key":"ws.hosts","reason":"host"}`
	)
	strict := startNode(t)
	listed := startNode(t, "ws.origins=https://app.example,null", "ws.hosts=mb.example")
	anybody := startNode(t, "ws.origins=*")
	balanced := startNode(t, "proxy.trusted=127.0.0.1", "proxy.protocol=off",
		"ws.hosts=mb.example")
	everywhere := startNode(t, "host=0.0.0.0", "allowUnsecure=true")
	for _, tt := range []struct {
		name    string
		n       *node
		fields  []string
		details string // "": it enters
	}{
		{"no browser", strict, nil, ""},
		{"a page of this machine", strict, []string{"Origin: http://localhost:5173"}, ""},
		{"at an address of it", strict,
			[]string{"Host: 127.0.0.1:3000", "Origin: http://[::1]:5173"}, ""},
		{"cross-site hijack", strict, []string{"Origin: https://evil.example"}, byOrigin},
		{"DNS rebinding", strict,
			[]string{"Host: evil.example:3000", "Origin: http://evil.example:3000"}, byHost},
		{"DNS rebinding without an origin", strict, []string{"Host: evil.example:3000"}, byHost},
		{"a sandboxed frame", strict, []string{"Origin: null"}, byOrigin},
		{"a forged X-Forwarded-Host", strict,
			[]string{"Host: evil.example", "X-Forwarded-Host: localhost"}, byHost},

		{"listed", listed, []string{"Origin: https://app.example"}, ""},
		{"listed null", listed, []string{"Origin: null"}, ""},
		{"its host", listed, []string{"Host: mb.example", "Origin: https://mb.example:8443"}, ""},
		{"not listed", listed, []string{"Origin: http://app.example"}, byOrigin},
		{"anybody", anybody, []string{"Origin: https://evil.example"}, ""},
		{"anybody by a rebound name", anybody,
			[]string{"Host: evil.example", "Origin: http://evil.example"}, byHost},

		{"as a balancer was called", balanced,
			[]string{"X-Forwarded-Host: mb.example", "Origin: https://mb.example"}, ""},
		{"as a balancer was called last", balanced,
			[]string{"X-Forwarded-Host: mb.example, evil.example"}, byHost},

		{"open, its own page", everywhere,
			[]string{"Host: mb.example:3000", "Origin: https://mb.example"}, ""},
		{"open, cross-site hijack", everywhere,
			[]string{"Host: mb.example:3000", "Origin: https://evil.example"}, byOrigin},
		{"open, no browser", everywhere, []string{"Host: whatever"}, ""},
	} {
		r := dialRaw(t, tt.n.ws)
		r.write(head(tt.fields...))
		if tt.details == "" {
			if resp, body := r.answer(); resp.StatusCode != 101 {
				t.Errorf("%s: %s %s", tt.name, resp.Status, body)
			}
			continue
		}
		t.Log(tt.name)
		wantRefused(t, r, overWS, 403, "FORBIDDEN", tt.details)
	}
	strict.says("ws.origins")
	strict.says("ws.hosts")
}

// No web page reads what operators may by a name that was rebound to this machine. What sends no
// Host is no browser.
func TestS10_AdminByName(t *testing.T) {
	t.Parallel()
	n := startNode(t, "ws.hosts=mb.example")
	_, port, _ := strings.Cut(n.admin, ":")
	for _, tt := range []struct {
		host string
		want int
	}{
		{"localhost:" + port, 200}, {"[::1]", 200},
		{"mb.example", 200}, {"", 200}, {"-", 200},
		{"evil.example", 403}, {"evil.example:" + port, 403},
		{"0.0.0.0:" + port, 403}, {"localhost.evil.example", 403},
	} {
		for _, page := range []string{"/", "/metrics", "/readyz", "/nothing"} {
			request := "GET " + page + " HTTP/1.0\r\n"
			if tt.host != "-" {
				request += "Host: " + tt.host + "\r\n"
			}
			r := dialRaw(t, n.admin)
			r.write([]byte(request + "\r\n"))
			resp, _ := r.answer()
			want := tt.want
			if page == "/nothing" && want == 200 {
				want = 404
			}
			if resp.StatusCode != want {
				t.Errorf("%s by %q: %s, want %d", page, tt.host, resp.Status, want)
			}
		}
	}
}
