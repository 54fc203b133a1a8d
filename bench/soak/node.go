//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/bench/proc"
)

// shutdownTimeout is what the node is configured to; shutdownGrace is how much later its hard end
// may come.
const (
	shutdownTimeout = 3 * time.Second
	shutdownGrace   = 2 * time.Second
)

// node is the process under attack.
type node struct {
	cmd    *exec.Cmd
	pid    int
	limit  int // memory.limit in MiB
	to     addresses
	admin  string
	exited chan struct{} // closed when it has ended; then err is how
	err    error
	said   *proc.Tail
}

// startNode starts the server and waits until it welcomes a client.
func startNode(path string, c cell) (*node, error) {
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = proc.FreePort(); err != nil {
			return nil, err
		}
	}
	at := func(i int) string { return "127.0.0.1:" + strconv.Itoa(ports[i]) }
	arguments := []string{
		"--host", "127.0.0.1", "--tcp-port", strconv.Itoa(ports[0]),
		"--ws-port", strconv.Itoa(ports[1]),
	}
	for _, s := range append([]string{
		"admin.address=" + at(2),
		"loops=" + strconv.Itoa(c.loops),
		fmt.Sprintf("memory.limit=%dMiB", c.mebibytes),
		fmt.Sprintf("shutdown.timeout=%d", shutdownTimeout.Milliseconds()),
	}, c.settings()...) {
		arguments = append(arguments, "--set", s)
	}
	n := &node{
		cmd: exec.Command(path, arguments...), exited: make(chan struct{}), said: &proc.Tail{},
		limit: c.mebibytes,
		to:    addresses{TCP: at(0), WS: at(1)}, admin: at(2),
	}
	n.cmd.Stdout, n.cmd.Stderr = n.said, n.said
	n.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	n.pid = n.cmd.Process.Pid
	go func() {
		n.err = n.cmd.Wait()
		close(n.exited)
	}()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		first, err := dial(n.to, manner{})
		if err == nil {
			first.Close()
			return n, nil
		}
		if n.gone() || time.Now().After(deadline) {
			n.kill()
			return nil, fmt.Errorf("%s accepts nobody: %w; it said: %s", path, err, n.said)
		}
	}
}

// gone says whether the process has ended, or is just ending.
func (n *node) gone() bool {
	select {
	case <-n.exited:
		return true
	case <-time.After(10 * time.Millisecond):
		return false
	}
}

// kill ends it at once.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // It may be gone.
	<-n.exited
}

// stop tells the node to stop and returns how long it took; killed after the time it has.
func (n *node) stop() (took time.Duration, obeyed bool) {
	begin := time.Now()
	_ = n.cmd.Process.Signal(unix.SIGTERM) // It may be gone.
	select {
	case <-n.exited:
		return time.Since(begin), true
	case <-time.After(2 * (shutdownTimeout + shutdownGrace)):
		n.kill()
		return time.Since(begin), false
	}
}

// books are the numbers that must be back when the attackers have left.
type books struct {
	connections, services, subscriptions, outstanding, queued int
	charged                                                   int
	goroutines, descriptors                                   int
}

// scrape reads /metrics.
func (n *node) scrape() (map[string]float64, error) {
	c, err := net.DialTimeout("tcp4", n.admin, patience)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET /metrics HTTP/1.0\r\n\r\n"); err != nil {
		return nil, err
	}
	m := make(map[string]float64)
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); found && err == nil {
			m[name] = v
		}
	}
	if _, ok := m["mb_connections"]; !ok {
		return nil, fmt.Errorf("/metrics has no mb_connections: %w", lines.Err())
	}
	return m, nil
}

// read takes the books. The descriptors are those of /proc, without those of this reading.
func (n *node) read() (books, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.pid))
	if err != nil {
		return books{}, err
	}
	m, err := n.scrape()
	if err != nil {
		return books{}, err
	}
	whole := func(name string) int { return int(m[name]) }
	return books{
		connections: whole("mb_connections"), services: whole("mb_services"),
		subscriptions: whole("mb_subscriptions"), outstanding: whole("mb_requests_outstanding"),
		queued: whole("mb_requests_queued"), charged: whole("mb_memory_charged_bytes"),
		goroutines: whole("go_goroutines"), descriptors: len(entries),
	}, nil
}

// Allowed above what was before the attack: an admin connection that is being closed, a goroutine
// of the runtime, a connection that the judge itself has just opened.
const (
	chargedSlack    = 256 << 10
	goroutineSlack  = 4
	descriptorSlack = 4
)

// leftovers names what is above what was before.
func (b books) leftovers(before books) string {
	var left []string
	for _, row := range []struct {
		name        string
		now, before int
		slack       int
	}{
		{"connections", b.connections, before.connections, 0},
		{"services", b.services, before.services, 0},
		{"subscriptions", b.subscriptions, before.subscriptions, 0},
		{"outstanding", b.outstanding, before.outstanding, 0},
		{"queued", b.queued, before.queued, 0},
		{"charged", b.charged, before.charged, chargedSlack},
		{"goroutines", b.goroutines, before.goroutines, goroutineSlack},
		{"descriptors", b.descriptors, before.descriptors, descriptorSlack},
	} {
		over := row.now - row.before
		if over > row.slack || over < -max(row.slack, 0) && row.slack == 0 {
			left = append(left, fmt.Sprintf("%s %+d", row.name, over))
		}
	}
	return strings.Join(left, ", ")
}
