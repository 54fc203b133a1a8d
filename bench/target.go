//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"

	"mbserver/bench/proc"
)

// errAbsent says that a node that runs already cannot be measured so.
var errAbsent = errors.New("not there")

// start starts a fresh server of target for one repetition, or returns the running one, and waits
// until it accepts.
func (r *runner) start(ctx context.Context, target, transport string) (*process, error) {
	w := wireFor(target, transport)
	if target == node && r.Address != nil {
		address := r.Address[transport]
		if address == "" {
			return nil, fmt.Errorf("the running node's address for %s is not known", transport)
		}
		return &process{pid: r.PID, address: map[string]string{transport: address}}, nil
	}
	port, err := proc.FreePort()
	if err != nil {
		return nil, err
	}
	cmd, cleanup, err := r.command(target, transport, port)
	if err != nil {
		return nil, err
	}
	p, err := launch(cmd, r.cpus, r.Procs)
	if err != nil {
		cleanup()
		return nil, err
	}
	p.cleanup = cleanup
	p.address = map[string]string{transport: fmt.Sprintf("127.0.0.1:%d", port)}
	if err := p.ready(ctx, w, transport); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// command is the command line of a target that serves transport on port. What it needs on disk is
// removed by cleanup.
func (r *runner) command(target, transport string, port int) (
	cmd *exec.Cmd, cleanup func(), err error,
) {
	cleanup = func() {}
	if n := loopsOf(target); n > 0 {
		return r.nodeCommand(n, transport, port), cleanup, nil
	}
	if target == "raw" {
		arguments := append(r.Hub[1:len(r.Hub):len(r.Hub)], strconv.Itoa(port))
		return exec.Command(r.Hub[0], arguments...), cleanup, nil
	}
	return r.peer(target, transport, port)
}

func (r *runner) nodeCommand(loops int, transport string, port int) *exec.Cmd {
	other := "ws"
	if transport == "ws" {
		other = "tcp"
	}
	return exec.Command(r.programs[node], "--host", "127.0.0.1",
		"--"+transport+"-port", strconv.Itoa(port), "--"+other+"-port", "0",
		"--log-level", "error", "--set", fmt.Sprintf("loops=%d", loops), "--set", "admin.address=",
		"--set", fmt.Sprintf("message.payload.maxLength=%d", maxPayload),
		// Subscribers say nothing for as long as a run takes: a heartbeat would be a foreign
		// message.
		"--set", "connection.heartbeatRetryTimeout=3600000",
		"--set", "connection.heartbeatDeregisterTimeout=7200000")
}
