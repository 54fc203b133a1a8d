//go:build linux

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// peer is command for the other brokers: their own programs, with persistence and logs off and no
// limit that a run meets.
func (r *runner) peer(target, transport string, port int) (
	cmd *exec.Cmd, cleanup func(), err error,
) {
	cleanup = func() {}
	p, path := strconv.Itoa(port), r.programs[target]
	switch target {
	case "redis":
		return exec.Command(path, "--port", p, "--bind", "127.0.0.1", "--save", "",
			"--appendonly", "no", "--maxclients", "10000",
			"--client-output-buffer-limit", "pubsub", "0", "0", "0"), cleanup, nil
	case mqttBroker:
		return mosquittoCommand(path, p)
	case "nats", "centrifuge":
		flag := "-port"
		if transport == "ws" {
			flag = "-ws"
		}
		return exec.Command(path, flag, p), cleanup, nil
	}
	return nil, nil, fmt.Errorf("no server for %s", target)
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
