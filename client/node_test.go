package client_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mbserver/bench/proc"
	"mbserver/client"
)

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// buildNode builds the daemon once for all tests that need one.
var buildNode = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(client.Scratch, "mb-server")
	// To read the folders makes their files an input of the test to go test, which
	// would report an old result when they have changed.
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if name := d.Name(); path != ".." && d.IsDir() &&
			(name[0] == '.' || name == "docs" || name == "node_modules" ||
				strings.HasPrefix(name, "bin")) {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", binary, "./cmd/mb-server")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the node: %w\n%s", err, out)
	}
	return binary, nil
})

// node is a daemon that can be restarted on the same ports.
type node struct {
	t      *testing.T
	binary string
	ports  map[string]int // by transport
	always []string       // settings of every start

	// Owned by the goroutine that starts and ends it.
	cmd    *exec.Cmd
	out    *bytes.Buffer // readable when exited is closed
	exited chan struct{}
}

// startNode starts one with the settings ("key=value", docs/configuration.md);
// it ends with the test.
func startNode(t *testing.T, settings ...string) *node {
	t.Helper()
	n := newNode(t, "ws", "tcp")
	n.start(settings...)
	return n
}

// newNode is one that is to be started and has these transports.
func newNode(t *testing.T, transports ...string) *node {
	t.Helper()
	binary, err := buildNode()
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, binary: binary, ports: make(map[string]int)}
	for _, transport := range transports {
		if n.ports[transport], err = proc.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if n.cmd != nil {
			n.end(syscall.SIGKILL)
		}
	})
	return n
}

// URL returns the address for Dial.
func (n *node) URL(transport string) string {
	return fmt.Sprintf("%s://127.0.0.1:%d", transport, n.ports[transport])
}

// start returns when the node listens.
func (n *node) start(settings ...string) {
	n.t.Helper()
	settings = append(append([]string{"shutdown.spread=0"}, settings...), n.always...)
	settings = append(settings, "admin.address=")
	for _, transport := range []string{"ws", "wss", "tcp", "tls"} {
		settings = append(settings, fmt.Sprintf("ports.%s=%d", transport, n.ports[transport]))
	}
	var arguments []string
	for _, s := range settings {
		arguments = append(arguments, "--set", s)
	}
	n.run(arguments...)
}

// run is start with the command line as it is.
func (n *node) run(arguments ...string) {
	n.t.Helper()
	n.cmd = exec.Command(n.binary, arguments...)
	n.out, n.exited = &bytes.Buffer{}, make(chan struct{})
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	n.cmd.Env = []string{}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_ = cmd.Wait() // What it said is in out.
		close(exited)
	}(n.cmd, n.exited)
	for _, port := range n.ports {
		n.await(port)
	}
}

func (n *node) await(port int) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close() // Nothing was said.
			return
		}
		select {
		case <-n.exited:
			n.t.Fatalf("the node ended: %s", n.out)
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			n.t.Fatal("the node does not listen")
		}
	}
}

// signal is for SIGSTOP and SIGCONT.
func (n *node) signal(s syscall.Signal) {
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Errorf("%v: %v", s, err)
	}
}

// end sends the signal and waits for the node to be gone.
func (n *node) end(s syscall.Signal) {
	_ = n.cmd.Process.Signal(s) // It may be gone.
	select {
	case <-n.exited:
	case <-time.After(patience):
		n.t.Errorf("the node does not end after %v", s)
		_ = n.cmd.Process.Kill() // As above.
		<-n.exited
	}
}

func testContext(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.Background(), patience)
}
