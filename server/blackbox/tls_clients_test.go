package blackbox

import (
	"bufio"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// program is a client that is not ours, at work. It ends with the test.
type program struct {
	t      testing.TB
	stdin  io.Writer
	stdout *bufio.Reader
	stderr output
	ended  chan struct{}
}

func execute(t testing.TB, name string, arguments ...string) *program {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("TLS is tried with other programs, too: apt-get install %s", name)
	}
	p := &program{t: t, ended: make(chan struct{})}
	cmd := exec.Command(path, arguments...)
	cmd.Stderr = &p.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, writer := io.Pipe()
	cmd.Stdout = writer
	p.stdin, p.stdout = stdin, bufio.NewReader(stdout)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	go func() {
		_ = cmd.Wait()
		_ = writer.Close()
		close(p.ended)
	}()
	t.Cleanup(func() {
		late.Stop()
		_ = cmd.Process.Kill()
		_ = stdout.Close()
		<-p.ended
	})
	return p
}

// await reads until what comes ends with text.
func (p *program) await(text string) {
	p.t.Helper()
	var seen strings.Builder
	for !strings.HasSuffix(seen.String(), text) {
		b, err := p.stdout.ReadByte()
		if err != nil {
			p.t.Fatalf("%v before %q; it printed %q and %s", err, text, seen.String(), &p.stderr)
		}
		seen.WriteByte(b)
	}
}

func (p *program) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, text); err != nil {
		p.t.Fatalf("%v: %s", err, &p.stderr)
	}
}

// openssl is a client that trusts us, of a TLS version, which knows its letters for what is not
// data: K changes the keys, R asks for another handshake, Q ends.
func openssl(t testing.TB, address, version string, more ...string) *program {
	return execute(t, "openssl", append([]string{
		"s_client", "-connect", address, "-servername", "localhost", "-brief", version,
		"-CAfile", ours.certificate, "-verify_return_error",
	}, more...)...)
}

// OpenSSL's client speaks with the node, over both versions, and changes its keys meanwhile.
func TestS1_OpenSSL(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		p := openssl(t, n.tls, version)
		p.await(`"heartbeat":`)
		p.say(string(appendFrame(nil, []byte("request:system.topic.subscribe:1.0.0:"+messageID+"\n"+
			`{"action":"publish","topic":"openssl.`+version[1:5]+`"}`))))
		p.await(`{"status":"success"}`)
		for i, payload := range []string{"first", "second", "third"} {
			if version == "-tls1_3" {
				p.say("K\n")
				eventually(t, "the keys are changed", func() bool {
					return strings.Count(p.stderr.String(), "KEYUPDATE") > i
				})
			}
			p.say(string(appendFrame(nil,
				[]byte("publish:openssl."+version[1:5]+":1.0.0\n"+payload))))
			p.await(payload)
		}
		p.say("Q\n")
		<-p.ended
	}
	n.until(t, "both have gone", func(m map[string]float64) bool {
		return m[`mb_connections_by_transport{transport="tls"}`] == 0
	})
}

// Another handshake in a session that stands is refused, and ends it.
func TestS1_OpenSSLRenegotiates(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	p := openssl(t, n.tls, "-tls1_2")
	p.await(`"heartbeat":`)
	p.say("R\n")
	<-p.ended
	n.until(t, "it has gone", func(m map[string]float64) bool {
		return m[`mb_connections_by_transport{transport="tls"}`] == 0 &&
			m["mb_tls_handshakes_total"] == 1
	})
	n.dial(t, overTLS).settle()
}

// curl upgrades a connection over https to a WebSocket, and reads what comes first.
func TestS1_Curl(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	_, port, err := net.SplitHostPort(n.wss)
	if err != nil {
		t.Fatal(err)
	}
	p := execute(t, "curl", "--silent", "--show-error", "--no-buffer", "--include",
		"--cacert", ours.certificate, "--resolve", "localhost:"+port+":127.0.0.1",
		"--header", "Upgrade: websocket", "--header", "Connection: Upgrade",
		"--header", "Sec-WebSocket-Version: 13",
		"--header", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
		"https://localhost:"+port+"/")
	p.await(" 101 Switching Protocols\r\n")
	p.await(upgradeAccept)
	p.await("publish:system.initialize:1.0.0")
}
