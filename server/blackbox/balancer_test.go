package blackbox

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// visitor opens connections from an address of this machine that is nobody else's.
type visitor struct {
	from string // that of its last connection
}

func (v *visitor) dial(ctx context.Context, network, address string) (net.Conn, error) {
	own := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}
	c, err := (&net.Dialer{Timeout: patience, LocalAddr: own}).DialContext(ctx, network, address)
	if err == nil {
		v.from = c.LocalAddr().String()
	}
	return c, err
}

// upgrade is a handshake with those fields, Host among them. The error says what refused it.
func (v *visitor) upgrade(url string, fields ...string) (peer, error) {
	options := &websocket.DialOptions{HTTPHeader: make(http.Header)}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			options.Host = value
		} else {
			options.HTTPHeader.Add(name, value)
		}
	}
	options.HTTPClient = &http.Client{Transport: &http.Transport{
		DialContext: v.dial, TLSClientConfig: ours.trust(), DisableKeepAlives: true,
	}}
	p, resp, err := dialWS(url, options)
	if err != nil && resp != nil {
		err = fmt.Errorf("%d", resp.StatusCode)
	}
	return p, err
}

// warnings are the lines of the log that say that something is wrong, but for those about how the
// node was started.
func (n *node) warnings() (lines []string) {
	for line := range strings.Lines(n.out.String()) {
		if loud.MatchString(line) && !strings.Contains(line, `"module":"daemon"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// thrice has a balancer know one node only: of others it would have to find out first that they are
// not there, and before that whoever has the fewest connections gets the next.
func thrice(n *node) []backend { return []backend{{node: n}, {node: n}, {node: n}} }

var loud = regexp.MustCompile(`"level":"(WARN|ERROR)"`)

// Over each transport a connection through HAProxy is its client's, and that
// HAProxy looks whether the node is there is nothing to warn of.
func TestS10_HAProxy(t *testing.T) {
	t.Parallel()
	n := launchNode(t, launch{
		config: written(t, "node.yaml", recipe(t, "node-proxy.yaml",
			"10.0.0.5", "127.0.0.1", "10.0.0.2", "127.0.0.1")),
		settings: []string{"logging.level=debug", "logging.format=json"},
	})
	own, listens := make(map[string]string), []string(nil)
	for i, port := range freePorts(t, len(transports)) {
		listens = append(listens, fmt.Sprintf("127.0.0.1:%d", port))
		own[transports[i]] = listens[i]
	}
	_, admin, _ := net.SplitHostPort(n.admin)
	all := thrice(n)
	plain := servers(t, recipe(t, "haproxy-tcp.cfg", "bind :3001", "bind "+own[overTCP],
		"bind :3000", "bind "+own[overWS], "port 3002 inter 500ms", "port "+admin+" inter 20ms"),
		all)
	_, lists, _ := strings.Cut(plain, "\nlisten ")
	// Those for TLS are as these, but that HAProxy knocks where clients come in, with and without
	// a header.
	knock := func(address, more string) string {
		_, port, _ := net.SplitHostPort(address)
		return address + " port " + port + more
	}
	secure := swap(t, "\nlisten "+lists, own[overTCP], own[overTLS], n.tcp,
		knock(n.tls, " check-send-proxy"), own[overWS], own[overWSS], n.ws, knock(n.wss, ""),
		"mb-tcp\n", "mb-tls\n    option tcp-check\n", "mb-ws\n", "mb-wss\n    option tcp-check\n")
	startHAProxy(t, plain+secure, listens...)

	v := &visitor{}
	for _, transport := range transports {
		var p peer
		var err error
		switch transport {
		case overTCP, overTLS:
			var c net.Conn
			if c, err = v.dial(t.Context(), "tcp", own[transport]); err != nil {
				break
			}
			if transport == overTLS {
				c = tls.Client(c, ours.trust())
			}
			p = newTCPPeer(c)
		default:
			p, err = v.upgrade(transport+"://"+own[transport], "Host: localhost",
				"X-Forwarded-For: 198.51.100.7")
		}
		if err != nil {
			t.Fatalf("%s: %v", transport, err)
		}
		if all := remotes(adopt(t, p, transport)); !slices.Contains(all, v.from) {
			t.Errorf("%s: %s is not among %q", transport, v.from, all)
		}
	}
	checked := func() int { return strings.Count(n.out.String(), `"health check: `) }
	before := checked()
	eventually(t, "health checks", func() bool { return checked() > before+10 })
	if lines := n.warnings(); len(lines) > 0 {
		t.Errorf("it warns: %q", lines)
	}
}

// Behind a proxy of HTTP a connection is its client's, whatever that says of itself, and the page's
// origin is compared with the name by which the proxy was called.
func TestS10_HTTPProxy(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, listens string, all []backend){
		"nginx": func(t *testing.T, listens string, all []backend) {
			startNginx(t, servers(t, recipe(t, "nginx.conf", "listen 443", "listen "+listens,
				"listen 3001", "listen "+freeAddress(t)), all), listens)
		},
		"haproxy": func(t *testing.T, listens string, all []backend) {
			_, port, _ := net.SplitHostPort(all[0].admin)
			startHAProxy(t, servers(t, recipe(t, "haproxy-http.cfg", "bind :443", "bind "+listens,
				"/etc/haproxy/mb.pem", certificates(t), "port 3002", "port "+port), all), listens)
		},
		"caddy": func(t *testing.T, listens string, all []backend) {
			_, port, _ := net.SplitHostPort(all[0].admin)
			startCaddy(t, servers(t, recipe(t, "Caddyfile", "health_port 3002",
				"health_port "+port), all), listens)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := launchNode(t, launch{
				config: written(t, "node.yaml", recipe(t, "node-http.yaml",
					"10.0.0.5", "127.0.0.1", "10.0.0.2", "127.0.0.1")),
				settings: []string{"logging.format=json"},
			})
			listens := freeAddress(t)
			start(t, listens, thrice(n))
			behindHTTP(t, "wss://"+listens, name == "caddy")
			for _, line := range n.warnings() {
				if !strings.Contains(line, "ws.origins") && !strings.Contains(line, "ws.hosts") {
					t.Errorf("it warns: %s", line)
				}
			}
		})
	}
}

// behindHTTP tries a proxy of mb.example. One of the proxies knows itself which name it has, and
// gives those who call it by another one an empty page.
func behindHTTP(t *testing.T, url string, knowsName bool) {
	v, foreign := &visitor{}, "403"
	if knowsName {
		foreign = "200"
	}
	for _, tt := range []struct {
		name    string
		refused string
		fields  []string
	}{
		{"no browser", "", []string{"Host: mb.example"}},
		{"forged X-Forwarded-For", "",
			[]string{"Host: mb.example", "X-Forwarded-For: 198.51.100.7"}},
		{"forged twice", "", []string{"Host: mb.example", "X-Forwarded-For: 198.51.100.7",
			"X-Forwarded-For: 198.51.100.8, unknown"}},
		{"forged Forwarded", "",
			[]string{"Host: mb.example", `Forwarded: for=198.51.100.7;host=x, for="`}},
		{"its own page", "", []string{"Host: mb.example", "Origin: https://mb.example"}},
		{"its own page, with a port", "",
			[]string{"Host: mb.example:8443", "Origin: https://mb.example:8443"}},
		{"cross-site hijack", "403", []string{"Host: mb.example", "Origin: https://evil.example"}},
		{"a foreign name", foreign, []string{"Host: evil.example"}},
		{"a foreign name, forged X-Forwarded-Host", foreign,
			[]string{"Host: evil.example", "X-Forwarded-Host: mb.example"}},
	} {
		p, err := v.upgrade(url, tt.fields...)
		if err != nil || tt.refused != "" {
			if err == nil {
				_ = p.Close()
			}
			if fmt.Sprint(err) != tt.refused {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.refused)
			}
			continue
		}
		// Over HTTP nobody says from which port the client came.
		if all := remotes(adopt(t, p, overWSS)); !slices.Equal(all, []string{"127.0.0.9:0"}) {
			t.Errorf("%s: it comes from %q", tt.name, all)
		}
		_ = p.Close()
	}
}
