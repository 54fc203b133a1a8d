package blackbox

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// What systemd does with a node: it hands sockets in, and is told how the node fares.

// handed is a socket that listens already.
type handed struct {
	transport string
	address   string
	file      *os.File
	inode     uint64
}

// listenFor opens a socket for a transport; it listens until the test ends, whoever accepts.
func listenFor(t testing.TB, transport string) handed {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := handed{transport: transport, address: l.Addr().String()}
	var stat syscall.Stat_t
	if h.file, err = l.(*net.TCPListener).File(); err == nil {
		err = syscall.Fstat(int(h.file.Fd()), &stat)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.file.Close() })
	h.inode = stat.Ino
	return h
}

// activated is the daemon's command, with sockets that are handed in (sd_listen_fds(3)): those are
// where it listens. A shell says which process they are for.
func (n *node) activated(sockets []handed, arguments []string) *exec.Cmd {
	var names []string
	for _, h := range sockets {
		names = append(names, h.transport)
		switch h.transport {
		case overTCP:
			n.tcp = h.address
		case overWS:
			n.ws = h.address
		case "admin":
			n.admin = h.address
		}
	}
	script := fmt.Sprintf(`LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s exec "$0" "$@"`,
		len(sockets), strings.Join(names, ":"))
	cmd := exec.Command("sh", append([]string{"-c", script, serverBinary}, arguments...)...)
	for _, h := range sockets {
		cmd.ExtraFiles = append(cmd.ExtraFiles, h.file)
	}
	return cmd
}

// pollers is how many of the node's pollers look at a socket (proc_pid_fdinfo(5)).
func (n *node) pollers(h handed) (count int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", n.pid)) // The pattern is good.
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // It was closed.
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "tfd:") &&
				strings.Contains(line, fmt.Sprintf(" ino:%x ", h.inode)) {
				count++
			}
		}
	}
	return count
}

// A node is replaced by another on the same sockets: who comes meanwhile is served by one or the
// other, and nobody is refused. The first one leaves the sockets alone as soon as it ends.
func TestReplacementRefusesNobody(t *testing.T) {
	t.Parallel()
	sockets := []handed{listenFor(t, overTCP), listenFor(t, overWS), listenFor(t, "admin")}
	l := launch{handed: sockets, plain: true,
		settings: []string{"shutdown.spread=0"}}
	first := launchNode(t, l)
	eventually(t, "a poller looks at the socket that was handed in", func() bool {
		return first.pollers(sockets[0]) == 1
	})
	asker, service := first.dial(t, overTCP), first.dial(t, overTCP)
	service.subscribe("request", "holds.up")
	asker.send("request:holds.up:1.0.0:"+idA+"::600000", "")
	held := service.expect("request:holds.up:1.0.0:*")

	var quit atomic.Bool
	came := make(chan map[any]int, 1)
	go func() { // somebody comes all the time
		nodes := make(map[any]int)
		for !quit.Load() {
			nodes[first.visit()]++
		}
		came <- nodes
	}()
	eventually(t, "somebody has come", func() bool {
		return first.counter(t, "mb_connections_opened_total") > 10
	})
	first.asked = true
	if err := first.cmd.Process.Signal(os.Interrupt); err != nil { // with no delay
		t.Fatal(err)
	}
	eventually(t, "the first one accepts nobody", func() bool {
		return first.pollers(sockets[0])+first.pollers(sockets[1]) == 0
	})
	between := make(chan string, 2) // nobody accepts now
	for _, transport := range []string{overTCP, overWS} {
		go func() {
			p, err := first.connect(transport)
			if err == nil {
				_, err = p.Recv(time.Now().Add(patience))
				_ = p.Close()
			}
			between <- fmt.Sprint(transport, " ", err)
		}()
	}
	service.send("response:holds.up:1.0.0:"+held.ID, "{}")
	asker.await("its answer", func(m message) bool { return m.ID == idA })
	for _, c := range []*client{asker, service} {
		go drain(c.peer.(*tcpPeer).conn)
	}
	first.ends(0)
	launchNode(t, l)
	for range 2 {
		if said := <-between; !strings.HasSuffix(said, " <nil>") {
			t.Errorf("who came between the nodes: %s", said)
		}
	}
	firstID, secondID := asker.initial["nodeId"], first.visit()
	quit.Store(true)
	nodes := <-came
	delete(nodes, secondID)
	if len(nodes) != 1 || nodes[firstID] == 0 || firstID == secondID {
		t.Errorf("who came all the time met %v; the nodes are %v and %v", nodes, firstID, secondID)
	}
}

// visit comes to the TCP listener, and says which node it met, or why it met none.
func (n *node) visit() any {
	p, err := n.connect(overTCP)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = p.Close() }() // nothing is left to be said
	m, err := p.Recv(time.Now().Add(patience))
	if err != nil {
		return err.Error()
	}
	id := nodeIDs.FindSubmatch(m.data)
	if id == nil {
		return string(m.data)
	}
	return string(id[1])
}

var nodeIDs = regexp.MustCompile(`"nodeId":"([^"]*)"`)

// A service manager is told what it waits for.
func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	_ = heard.SetReadDeadline(time.Now().Add(3 * patience))
	await := func(form string) {
		t.Helper()
		buf := make([]byte, 4096)
		for {
			n, err := heard.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", form, err)
			}
			if regexp.MustCompile(`^` + form).Match(buf[:n]) {
				return
			}
			if string(buf[:n]) != "WATCHDOG=1" {
				t.Errorf("%q came before %s", buf[:n], form)
			}
		}
	}
	n := launchNode(t, launch{plain: true, env: []string{
		"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=40000",
	}})
	await(`READY=1\nSTATUS=serving ws ` + regexp.QuoteMeta(n.ws) + `, tcp `)
	await("WATCHDOG=1$")
	await("WATCHDOG=1$")
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(`RELOADING=1\nMONOTONIC_USEC=\d+\nSTATUS=`)
	await(`READY=1\nSTATUS=serving, configuration reloaded`)
	n.terminate()
	await(`STOPPING=1\nEXTEND_TIMEOUT_USEC=\d+\nSTATUS=draining`)
	n.stop()
}
