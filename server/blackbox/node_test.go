package blackbox

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mbserver/bench/proc"
)

// patience bounds every wait for something that must happen. It is long because two cores may be
// shared by several nodes under the race detector; a healthy node never needs it.
const patience = 20 * time.Second

// output collects what a process prints. Any goroutine.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer // Guarded by mu.
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// launch says how a node is started.
type launch struct {
	settings []string // "key=value" in the terms of protocol §9
	config   string   // path of a configuration file; empty: there is none
	files    int      // limit of open descriptors; 0 leaves the inherited one
	stdout   *os.File // instead of collecting what it prints there
	plain    bool     // no wss and tls listeners
	tcp      string   // address of the TCP listener, that of a node that has ended; empty: any
	host     string   // loopback address to listen on; empty: 127.0.0.1
	handed   []handed // sockets that it is given, as systemd does
	env      []string // for its environment
}

// node is one running daemon.
type node struct {
	t       testing.TB
	cmd     *exec.Cmd
	pid     int
	ws      string // host:port of the listener
	tcp     string
	wss     string // empty when launched plain
	tls     string
	admin   string
	out     *output
	exited  chan struct{} // closed when the process is gone
	asked   bool          // SIGTERM was sent; a second one would cut the drain short
	stopped bool          // stop was called

	deflates bool // WebSocket clients connect with permessage-deflate; immutable
}

// startNode starts a node with the given settings ("key=value", protocol §9) on ports the kernel
// picked and waits until it is ready. It ends with the test, which fails when the node exits badly,
// panics or races.
func startNode(t testing.TB, settings ...string) *node {
	t.Helper()
	return launchNode(t, launch{settings: settings})
}

func launchNode(t testing.TB, l launch) *node {
	t.Helper()
	if err := readSources(); err != nil {
		t.Fatal(err)
	}
	for attempt := 0; ; attempt++ {
		n, err := tryNode(t, l)
		if err == nil {
			t.Cleanup(n.finish)
			return n
		}
		// Somebody took a port between our closing it and the node's opening it.
		if attempt == 5 || !strings.Contains(err.Error(), "in use") {
			t.Fatalf("node does not start: %v", err)
		}
	}
}

func tryNode(t testing.TB, l launch) (*node, error) {
	ports := freePorts(t, 5)
	host := cmp.Or(l.host, "127.0.0.1")
	address := func(i int) string { return host + ":" + strconv.Itoa(ports[i]) }
	n := &node{
		t: t, out: &output{}, ws: address(0), tcp: address(1), admin: address(2),
		exited: make(chan struct{}),
	}
	if l.tcp != "" {
		n.tcp = l.tcp
		ports[1], _ = strconv.Atoi(l.tcp[strings.LastIndexByte(l.tcp, ':')+1:]) // we made it
	}
	arguments := []string{
		"--ws-port", strconv.Itoa(ports[0]), "--tcp-port", strconv.Itoa(ports[1]),
		"--set", "admin.address=" + n.admin,
		// Whoever is connected goes at once: else every test would take some seconds to end.
		"--set", "shutdown.delay=0", "--set", "shutdown.spread=0", "--set", "shutdown.grace=1000",
		// A client may be silent for as long as a test takes on a machine that is busy.
		"--set", "connection.heartbeatRetryTimeout=600000",
		"--set", "connection.heartbeatDeregisterTimeout=1200000",
	}
	if l.plain {
		arguments = append(arguments, "--set", "ports.wss=0", "--set", "ports.tls=0")
	} else {
		n.wss, n.tls = address(3), address(4)
		arguments = append(arguments,
			"--set", fmt.Sprintf("ports.wss=%d", ports[3]),
			"--set", fmt.Sprintf("ports.tls=%d", ports[4]),
			"--set", "ssl.key="+ours.key, "--set", "ssl.cert="+ours.certificate)
	}
	if l.config != "" {
		arguments = append(arguments, "--config", l.config)
	}
	if l.host != "" {
		arguments = append(arguments, "--set", "host="+l.host)
	}
	for _, s := range l.settings {
		arguments = append(arguments, "--set", s)
	}
	n.cmd = exec.Command(serverBinary, arguments...)
	if l.files > 0 { // exec keeps the shell's process id
		script := fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, l.files)
		n.cmd = exec.Command("sh", append([]string{"-c", script, serverBinary}, arguments...)...)
	}
	if len(l.handed) > 0 {
		n.cmd = n.activated(l.handed, arguments)
	}
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	if l.stdout != nil {
		n.cmd.Stdout = l.stdout
	}
	n.cmd.Env = append(append(cleanEnvironment(), "GORACE=atexit_sleep_ms=20"), l.env...)
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	n.pid = n.cmd.Process.Pid
	go func() {
		_ = n.cmd.Wait() // the state is read from cmd.ProcessState
		close(n.exited)
	}()
	return n, n.awaitReady()
}

// cleanEnvironment leaves out what would configure the node from the developer's shell.
func cleanEnvironment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// freePorts picks n distinct ports that nobody listens on.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for len(ports) < n {
		port, err := proc.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports
}

// awaitReady polls /readyz; the error carries the output of a node that died instead.
func (n *node) awaitReady() error {
	deadline := time.Now().Add(patience)
	for {
		if status, _ := n.probe("/readyz"); status == http.StatusOK {
			return nil
		}
		select {
		case <-n.exited:
			return fmt.Errorf("exited: %v\n%s", n.cmd.ProcessState, n.out)
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			threads := proc.Threads(n.pid)
			_ = n.cmd.Process.Signal(syscall.SIGQUIT) // for its goroutines
			select {
			case <-n.exited:
			case <-time.After(patience):
				_ = n.cmd.Process.Kill()
				<-n.exited
			}
			return fmt.Errorf("not ready within %v\n%s%s", patience, threads, n.out)
		}
	}
}

// adminClient keeps no connection open, so that probing leaves no descriptor behind in the node.
var adminClient = &http.Client{
	Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
}

// probe fetches a page of the admin listener; status 0 means that it does not answer.
func (n *node) probe(path string) (status int, body string) {
	resp, err := adminClient.Get("http://" + n.admin + path)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<22))
	return resp.StatusCode, string(b)
}

// terminate sends SIGTERM, once, and does not wait.
func (n *node) terminate() {
	n.t.Helper()
	if n.asked {
		return
	}
	n.asked = true
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Errorf("SIGTERM: %v", err)
	}
}

// stop ends the node and checks how it went.
func (n *node) stop() {
	n.t.Helper()
	n.stopped = true
	select {
	case <-n.exited:
	default:
		n.terminate()
	}
	select {
	case <-n.exited:
	case <-time.After(patience + 15*time.Second):
		n.t.Errorf("node still runs long after SIGTERM")
		_ = n.cmd.Process.Signal(syscall.SIGQUIT) // for its goroutines
		<-n.exited
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		n.t.Errorf("node ended with %v", n.cmd.ProcessState)
	}
	if fault := faults.FindString(n.out.String()); fault != "" {
		n.t.Errorf("the node's output contains %q", fault)
	}
}

var faults = regexp.MustCompile(`panic|DATA RACE|fatal error|concurrent map`)

func (n *node) finish() {
	if !n.stopped {
		n.stop()
	}
	if n.t.Failed() {
		text := n.out.String()
		if len(text) > 32<<10 {
			text = text[:16<<10] + "\n…\n" + text[len(text)-16<<10:]
		}
		n.t.Logf("output of the node %d:\n%s", n.pid, text)
	}
}

// descriptors counts the node's open files.
func (n *node) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.pid))
	if err != nil {
		n.t.Errorf("reading the node's descriptors: %v", err)
	}
	return len(entries)
}

// resident is the node's resident memory in bytes.
func (n *node) resident() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.pid))
	if err != nil {
		n.t.Errorf("reading the node's memory: %v", err)
		return 0
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		n.t.Errorf("reading the node's memory: %v", err)
	}
	return pages * os.Getpagesize()
}

// eventually polls for a condition and fails the test when it does not come true within the bound.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(5 * time.Millisecond) // the poll's interval
	}
}
