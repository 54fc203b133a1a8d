//go:build linux

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// peer is command for the other brokers: their own programs, with persistence and logs off and no
// limit that a run meets.
func (r *runner) peer(target, transport string, port int) (
	cmd *exec.Cmd, cleanup func(), err error,
) {
	cleanup = func() {}
	p := strconv.Itoa(port)
	switch target {
	case "redis":
		path, err := program("redis-server")
		return exec.Command(path, "--port", p, "--bind", "127.0.0.1", "--save", "",
			"--appendonly", "no", "--maxclients", "10000",
			"--client-output-buffer-limit", "pubsub", "0", "0", "0"), cleanup, err
	case mqttBroker:
		path, err := program(mqttBroker)
		if err != nil {
			return nil, nil, err
		}
		return mosquittoCommand(path, p)
	case "nats", "centrifuge":
		path := filepath.Join(r.Peers, target)
		if _, err := os.Stat(path); err != nil {
			return nil, nil, fmt.Errorf("%w: %s (make bench-peers)", errAbsent, path)
		}
		flag := "-port"
		if transport == "ws" {
			flag = "-ws"
		}
		return exec.Command(path, flag, p), cleanup, nil
	}
	return nil, nil, fmt.Errorf("%w: a server for %s", errAbsent, target)
}

// program finds a server in PATH or where Debian puts daemons.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path := filepath.Join("/usr/sbin", name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: %s (make bench-peers)", errAbsent, name)
	}
	return path, nil
}

// mosquittoCommand writes the configuration that this broker takes from a file only.
func mosquittoCommand(path, port string) (*exec.Cmd, func(), error) {
	f, err := os.CreateTemp("", "mb-bench-*.conf")
	if err != nil {
		return nil, nil, err
	}
	cleanup := func() { _ = os.Remove(f.Name()) } // A temporary file.
	_, err = fmt.Fprintf(f, "listener %s 127.0.0.1\nallow_anonymous true\npersistence false\n"+
		"log_type none\nmax_connections -1\nmax_queued_messages 0\nset_tcp_nodelay true\n"+
		"user root\n", port)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		cleanup()
		return nil, nil, err
	}
	return exec.Command(path, "-c", f.Name()), cleanup, nil
}
