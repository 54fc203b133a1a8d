package blackbox

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// Behind real balancers, in the configurations that docs/security.md gives.

// recipe returns the blocks of code under a heading of the page.
func recipe(t testing.TB, heading string) (blocks []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n### "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n### ")
	for i, part := range strings.Split(section, "\n```") {
		if i%2 == 1 {
			_, code, _ := strings.Cut(part, "\n") // the first line names the language
			blocks = append(blocks, code+"\n")
		}
	}
	return blocks
}

// swap replaces what must be there, old and new in turn.
func swap(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("docs/security.md has no %q here:\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// written is a file of the test's.
func written(t testing.TB, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startBalancer runs a program of Debian's until the test ends, and waits until it listens.
func startBalancer(t testing.TB, name string, listens []string, arguments ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil { // only root has it in its path
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		t.Fatalf("the recipes of docs/security.md need %[1]s: apt-get install haproxy nginx-light",
			name)
	}
	said := &output{}
	cmd := exec.Command(path, arguments...)
	cmd.Env, cmd.Stdout, cmd.Stderr = cleanEnvironment(), said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, and the test failed
		_ = cmd.Wait()         // as we asked it to
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said)
		}
	})
	for _, address := range listens {
		eventually(t, name+" listens", func() bool {
			c, err := net.DialTimeout("tcp", address, patience)
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
}

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

var loud = regexp.MustCompile(`"level":"(WARN|ERROR)"`)

// Over each transport a connection through HAProxy is its client's, and that
// HAProxy looks whether the node is there is nothing to warn of.
func TestS10_HAProxy(t *testing.T) {
	t.Parallel()
	blocks := recipe(t, "Behind HAProxy, with PROXY")
	if len(blocks) != 2 {
		t.Fatalf("docs/security.md has %d blocks of code for it", len(blocks))
	}
	n := launchNode(t, launch{
		config: written(t, "node.yaml", swap(t, blocks[1], "host: 10.0.0.5", "host: 127.0.0.1",
			"[10.0.0.2]", "[127.0.0.1]")),
		settings: []string{"logging.level=debug", "logging.format=json"},
	})
	own, listens := make(map[string]string), []string(nil)
	for i, port := range freePorts(t, len(transports)) {
		listens = append(listens, fmt.Sprintf("127.0.0.1:%d", port))
		own[transports[i]] = listens[i]
	}
	const often = "check inter 20ms"
	plain := swap(t, blocks[0], "bind :3001", "bind "+own[overTCP], "10.0.0.5:3001", n.tcp,
		"bind :3000", "bind "+own[overWS], "10.0.0.5:3000", n.ws, "check", often)
	_, lists, _ := strings.Cut(plain, "\nlisten ")
	// Those for TLS are as these, but that their health checks come without a header.
	_, tlsPort, _ := strings.Cut(n.tls, ":")
	secure := swap(t, "\nlisten "+lists, own[overTCP], own[overTLS], n.tcp, n.tls,
		own[overWS], own[overWSS], n.ws, n.wss, "mb-tcp", "mb-tls", "mb-ws", "mb-wss",
		often, often+" port "+tlsPort)
	file := written(t, "haproxy.cfg", "global\n    maxconn 100\n"+plain+secure)
	startBalancer(t, "haproxy", listens, "-db", "-f", file)

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
	blocks := recipe(t, "Behind a proxy of HTTP, with X-Forwarded-For")
	if len(blocks) != 3 {
		t.Fatalf("docs/security.md has %d blocks of code for it", len(blocks))
	}
	for name, start := range map[string]func(t *testing.T, listens string, n *node){
		"nginx": func(t *testing.T, listens string, n *node) {
			server := swap(t, blocks[0], "listen 443", "listen "+listens,
				"/etc/nginx/mb.pem", ours.certificate, "/etc/nginx/mb.key", ours.key,
				"127.0.0.1:3000", n.ws)
			paths := ""
			for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
				paths += what + "_temp_path " + what + ";\n"
			}
			file := written(t, "nginx.conf", "daemon off; master_process off; pid pid;\n"+
				"events { worker_connections 64; }\nhttp {\naccess_log off;\n"+paths+server+"}\n")
			startBalancer(t, "nginx", []string{listens},
				"-e", "stderr", "-p", filepath.Dir(file), "-c", file)
		},
		"haproxy": func(t *testing.T, listens string, n *node) {
			both := ""
			for _, path := range []string{ours.certificate, ours.key} {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				both += string(text)
			}
			file := written(t, "haproxy.cfg", "global\n    maxconn 100\n"+swap(t, blocks[1],
				"bind :443", "bind "+listens, "/etc/haproxy/mb.pem", written(t, "mb.pem", both),
				"127.0.0.1:3000", n.ws, "check", "check inter 20ms"))
			startBalancer(t, "haproxy", []string{listens}, "-db", "-f", file)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := launchNode(t, launch{
				config:   written(t, "node.yaml", blocks[2]),
				settings: []string{"logging.format=json"},
			})
			listens := fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1)[0])
			start(t, listens, n)
			behindHTTP(t, "wss://"+listens)
			for _, line := range n.warnings() {
				if !strings.Contains(line, "ws.origins") && !strings.Contains(line, "ws.hosts") {
					t.Errorf("it warns: %s", line)
				}
			}
		})
	}
}

// behindHTTP tries a proxy of mb.example.
func behindHTTP(t *testing.T, url string) {
	v := &visitor{}
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
		{"a foreign name", "403", []string{"Host: evil.example"}},
		{"a foreign name, forged X-Forwarded-Host", "403",
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
