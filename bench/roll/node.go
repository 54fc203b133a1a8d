//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/bench/proc"
)

// node is one process of the server, started again on the same ports.
type node struct {
	name      string // as the balancers call it
	path      string
	arguments []string
	tcp, ws   int // ports
	tls       int
	admin     int

	// Of the process that runs.
	cmd    *exec.Cmd
	id     string
	exited chan struct{} // closed when it has ended
	said   *proc.Tail
}

// newNode chooses the ports of a node.
func newNode(name, path string, c certificate, settings []string) (*node, error) {
	n := &node{name: name, path: path}
	for _, port := range []*int{&n.tcp, &n.ws, &n.tls, &n.admin} {
		var err error
		if *port, err = proc.FreePort(); err != nil {
			return nil, err
		}
	}
	n.arguments = []string{
		"--host", "127.0.0.1", "--tcp-port", strconv.Itoa(n.tcp), "--ws-port", strconv.Itoa(n.ws),
	}
	for _, s := range append([]string{
		"admin.address=" + at(n.admin), "ports.wss=0", "ports.tls=" + strconv.Itoa(n.tls),
		"ssl.key=" + c.key, "ssl.cert=" + c.certificate, "logging.format=json",
	}, settings...) {
		n.arguments = append(n.arguments, "--set", s)
	}
	return n, nil
}

func at(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// start starts the process and waits until it welcomes a client and, if asked, is ready.
func (n *node) start(ready bool) error {
	n.cmd = exec.Command(n.path, n.arguments...)
	n.exited, n.said = make(chan struct{}), &proc.Tail{}
	n.cmd.Stdout, n.cmd.Stderr = n.said, n.said
	n.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	exited, cmd := n.exited, n.cmd
	go func() {
		_ = cmd.Wait() // The state is read from cmd.ProcessState.
		close(exited)
	}()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		o := &oldCaller{address: at(n.tcp)}
		conn, _, id, err := o.dial()
		if err == nil {
			conn.Close()
			n.id = id
			if !ready {
				return nil
			}
			if _, err = n.get("/readyz"); err == nil {
				return nil
			}
		}
		select {
		case <-n.exited:
		default:
			if time.Now().Before(deadline) {
				continue
			}
		}
		n.kill()
		return fmt.Errorf("%s does not start: %w; it said: %s", n.path, err, n.said)
	}
}

// terminate has the process stop, and returns how long it took and its exit code; killed after the
// bound.
func (n *node) terminate(bound time.Duration) (took time.Duration, code int) {
	begin := time.Now()
	_ = n.cmd.Process.Signal(unix.SIGTERM) // It may be gone.
	select {
	case <-n.exited:
	case <-time.After(bound):
		n.kill()
	}
	return time.Since(begin), n.cmd.ProcessState.ExitCode()
}

// kill ends it at once, if it runs.
func (n *node) kill() {
	if n.cmd != nil {
		_ = n.cmd.Process.Kill() // It may be gone.
		<-n.exited
	}
}

// get fetches a page of the admin listener; an answer other than 200 is an error.
func (n *node) get(path string) (body string, err error) {
	c, err := net.DialTimeout("tcp4", at(n.admin), patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.0\r\n\r\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(bufio.NewReader(c))
	if err != nil {
		return "", err
	}
	if status, _, _ := strings.Cut(string(answer), "\r\n"); !strings.Contains(status, " 200 ") {
		return "", errors.New(status)
	}
	return string(answer), nil
}

// metric reads a number of /metrics; -1 when it cannot be read.
func (n *node) metric(name string) int {
	page, err := n.get("/metrics")
	if err != nil {
		return -1
	}
	_, after, found := strings.Cut(page, "\n"+name+" ")
	digits, _, _ := strings.Cut(after, "\n")
	value, err := strconv.ParseFloat(digits, 64)
	if !found || err != nil {
		return -1
	}
	return int(value)
}
