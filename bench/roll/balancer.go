//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/bench/proc"
)

// fronts are what clients connect to, by name.
var fronts = []string{"tcp", "http", "tls", "nginx"}

// balancers are HAProxy and nginx before the nodes.
type balancers struct {
	ports map[string]int // by front
	log   *balancerLog
	cmds  []*exec.Cmd
	said  *proc.Tail
}

// startBalancers starts those that the fronts need; interval is that of HAProxy's checks.
func startBalancers(
	folder string, nodes []*node, used []string, interval time.Duration,
) (b *balancers, err error) {
	b = &balancers{ports: make(map[string]int), said: &proc.Tail{}}
	defer func() {
		if err != nil {
			b.stop()
		}
	}()
	for _, front := range fronts {
		if b.ports[front], err = proc.FreePort(); err != nil {
			return b, err
		}
	}
	if b.log, err = listenLog(); err != nil {
		return b, err
	}
	haproxy := filepath.Join(folder, "haproxy.cfg")
	if err := os.WriteFile(haproxy, []byte(b.haproxy(nodes, used, interval)), 0o600); err != nil {
		return b, err
	}
	if err := b.run("haproxy", "-db", "-f", haproxy); err != nil {
		return b, err
	}
	if slices.Contains(used, "nginx") {
		nginx := filepath.Join(folder, "nginx.conf")
		if err := os.WriteFile(nginx, []byte(b.nginx(nodes)), 0o600); err != nil {
			return b, err
		}
		if err := b.run("nginx", "-e", "stderr", "-p", folder, "-c", nginx); err != nil {
			return b, err
		}
	}
	for _, front := range used {
		if err := b.await(front); err != nil {
			return b, err
		}
	}
	return b, nil
}

// await waits until a front listens.
func (b *balancers) await(front string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp4", at(b.ports[front]))
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("front %s: %w; %s", front, err, b.said)
		}
	}
}

// haproxy is its configuration. Checks are those that docs/operations.md recommends: two that fail
// take a node out; rise leaves its services the time to be back.
func (b *balancers) haproxy(nodes []*node, used []string, interval time.Duration) string {
	var s strings.Builder
	fmt.Fprintf(&s, "global\n    nbthread 1\n    maxconn 8000\n    log %s format raw local0\n"+
		"defaults\n    log global\n    option log-health-checks\n    balance leastconn\n"+
		"    timeout connect 2s\n    timeout client 1h\n    timeout server 1h\n"+
		"    timeout tunnel 1h\n    retries 3\n    option redispatch 1\n"+
		"    option httpchk GET /readyz\n"+
		"    default-server check inter %dms fall 2 rise 3\n",
		b.log.address, interval.Milliseconds())
	for _, front := range used {
		port := map[string]func(n *node) int{
			"tcp":  func(n *node) int { return n.tcp },
			"tls":  func(n *node) int { return n.tls },
			"http": func(n *node) int { return n.ws },
		}[front]
		if port == nil {
			continue
		}
		mode, log := "tcp", "tcplog"
		if front == "http" {
			mode, log = "http", "httplog"
		}
		fmt.Fprintf(&s, "listen mb-%s\n    bind %s\n    mode %s\n    option %s\n",
			front, at(b.ports[front]), mode, log)
		for _, n := range nodes {
			fmt.Fprintf(&s, "    server %s %s port %d\n", n.name, at(port(n)), n.admin)
		}
	}
	return s.String()
}

// nginx is its configuration. It has no checks: what refuses a connection is passed over. With
// max_fails it would count refusals until one of the node's later connections ends, not begins,
// and let through one every fail_timeout: of WebSockets that is for ever.
func (b *balancers) nginx(nodes []*node) string {
	var s strings.Builder
	s.WriteString("daemon off; master_process off; pid nginx.pid;\n" +
		"events { worker_connections 8000; }\nhttp {\naccess_log off;\n")
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		s.WriteString(what + "_temp_path " + what + ";\n")
	}
	s.WriteString("upstream mb {\n    least_conn;\n")
	for _, n := range nodes {
		fmt.Fprintf(&s, "    server %s max_fails=0;\n", at(n.ws))
	}
	fmt.Fprintf(&s, `}
server {
    listen %s;
    location / {
        proxy_pass http://mb;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
        proxy_set_header Host localhost;
        proxy_next_upstream error timeout http_503;
        proxy_connect_timeout 1s;
        proxy_read_timeout 1h;
    }
}
}
`, at(b.ports["nginx"]))
	return s.String()
}

// run starts a program of Debian's.
func (b *balancers) run(name string, arguments ...string) error {
	path, err := exec.LookPath(name)
	if err != nil { // Only root has it in its path.
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			return fmt.Errorf("roll needs %s: apt-get install haproxy nginx-light", name)
		}
	}
	cmd := exec.Command(path, arguments...)
	cmd.Stdout, cmd.Stderr = b.said, b.said
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.cmds = append(b.cmds, cmd)
	return nil
}

func (b *balancers) stop() {
	for _, cmd := range b.cmds {
		_ = cmd.Process.Kill() // It may be gone.
		_ = cmd.Wait()         // As we asked it to.
	}
	if b.log != nil {
		b.log.conn.Close()
	}
}

// balancerLog is what HAProxy says, in its order.
type balancerLog struct {
	conn    *net.UDPConn
	address string

	mu    sync.Mutex
	lines []logLine // guarded by mu
}

type logLine struct {
	at   time.Time
	text string
}

// logBuffer is what the kernel may hold of the log: thousands of sessions end at once.
const logBuffer = 4 << 20

func listenLog() (*balancerLog, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(logBuffer); err != nil {
		return nil, err
	}
	l := &balancerLog{conn: conn, address: conn.LocalAddr().String()}
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			l.mu.Lock()
			l.lines = append(l.lines, logLine{time.Now(), string(buf[:n])})
			l.mu.Unlock()
		}
	}()
	return l, nil
}

// String is the whole log, each line with its time.
func (l *balancerLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var s strings.Builder
	for _, line := range l.lines {
		fmt.Fprintln(&s, line.at.Format("15:04:05.000"), strings.TrimSpace(line.text))
	}
	return s.String()
}

// first returns the first line since then that fits.
func (l *balancerLog) first(since time.Time, fits func(text string) bool) (logLine, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line.at.After(since) && fits(line.text) {
			return line, true
		}
	}
	return logLine{}, false
}

// turned fits lines by which HAProxy takes a node out ("DOWN") or in ("UP").
func turned(front, node, how string) func(string) bool {
	return func(text string) bool {
		return strings.HasPrefix(text, "Server mb-"+front+"/"+node+" is "+how)
	}
}

// takes says whether HAProxy sends the node connections, by the last that it said about it; it
// takes all when it starts.
func (l *balancerLog) takes(front, node string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	up := true
	wentUp, wentDown := turned(front, node, "UP"), turned(front, node, "DOWN")
	for _, line := range l.lines {
		up = up && !wentDown(line.text) || wentUp(line.text)
	}
	return up
}

// session finds front and node in the line of a connection that has ended.
var session = regexp.MustCompile(` mb-(\w+)~? mb-\w+/(\w+) [-+0-9]+/`)

// closed fits lines of connections to a node that have ended.
func closed(front, node string) func(string) bool {
	return func(text string) bool {
		m := session.FindStringSubmatch(text)
		return m != nil && m[1] == front && m[2] == node
	}
}
