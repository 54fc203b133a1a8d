//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/bench/proc"
)

// server is the process under measurement.
type server struct {
	cmd     *exec.Cmd
	address string
	pid     int
}

// startServer starts the binary on a free port with one loop, pinned to core 0, and waits until it
// accepts.
func startServer(path string, settings ...string) (*server, error) {
	port, err := proc.FreePort()
	if err != nil {
		return nil, err
	}
	arguments := []string{
		"--host", "127.0.0.1", "--tcp-port", strconv.Itoa(port), "--ws-port", "0",
		"--log-level", "error", "--set", "loops=1", "--set", "admin.address=",
		"--set", "connection.heartbeatRetryTimeout=3600000",
		"--set", "connection.heartbeatDeregisterTimeout=7200000",
	}
	for _, s := range settings {
		arguments = append(arguments, "--set", s)
	}
	s := &server{cmd: exec.Command(path, arguments...), address: fmt.Sprintf("127.0.0.1:%d", port)}
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
		c, err := net.Dial("tcp", s.address)
		if err == nil {
			_ = c.Close()
			return s, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.stop()
	return nil, fmt.Errorf("%s does not accept connections", path)
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(unix.SIGTERM)
	_ = s.cmd.Wait()
}

// cpu is the process's CPU time as the scheduler counts it, all threads together.
func (s *server) cpu() time.Duration { return time.Duration(proc.CPU(s.pid)) }

// resident is the process's resident memory in bytes.
func (s *server) resident() int64 { return proc.Resident(s.pid) }
