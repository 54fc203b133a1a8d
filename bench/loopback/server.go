//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// server is the process under measurement.
type server struct {
	cmd      *exec.Cmd
	tcp, ws  string
	pid      int
	pageSize int64
}

// startServer starts the binary on free ports, pinned to core 0, and waits until it accepts.
func startServer(path string) (*server, error) {
	tcp, err := freePort()
	if err != nil {
		return nil, err
	}
	ws, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &server{
		tcp: fmt.Sprintf("127.0.0.1:%d", tcp), ws: fmt.Sprintf("127.0.0.1:%d", ws),
		pageSize: int64(os.Getpagesize()),
	}
	s.cmd = exec.Command(path, "--host", "127.0.0.1", "--tcp-port", strconv.Itoa(tcp), "--ws-port", strconv.Itoa(ws),
		"--log-level", "error", "--set", "loops=1", "--set", "admin.address=")
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.pid = s.cmd.Process.Pid
	var set unix.CPUSet
	set.Set(0)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", s.pid))
	for _, t := range tasks {
		if id, err := strconv.Atoi(filepath.Base(t)); err == nil {
			_ = unix.SchedSetaffinity(id, &set) // threads that come later inherit it
		}
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		c, err := net.Dial("tcp", s.tcp)
		if err == nil {
			_ = c.Close()
			return s, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("%s does not accept connections", path)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(unix.SIGTERM)
	_ = s.cmd.Wait()
}

// cpu is the process's CPU time in ns as the scheduler counts it, all threads together.
func (s *server) cpu() int64 {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", s.pid))
	total := int64(0)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		ns, _ := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		total += ns
	}
	return total
}

// resident is the process's resident memory in bytes.
func (s *server) resident() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * s.pageSize
}

// subscribeWS is subscribe over WebSocket.
func subscribeWS(address string) (*net.TCPConn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", address)
	m := subscribeMessage()
	f := binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(m)))
	f = append(append(f, 0, 0, 0, 0), m...) // masked with zeros
	if _, err := c.Write(f); err != nil {
		return nil, err
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("the upgrade was refused: %v", err)
	}
	var seen strings.Builder
	for !strings.Contains(seen.String(), `"status":"success"`) {
		b, err := in.ReadByte()
		if err != nil {
			return nil, err
		}
		seen.WriteByte(b)
	}
	return c.(*net.TCPConn), nil
}
