//go:build linux

package bench

import (
	"context"
	"crypto/tls"
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
		return &process{pid: r.PID, at: r.place(transport, address)}, nil
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
	p.at = r.place(transport, fmt.Sprintf("127.0.0.1:%d", port))
	if err := p.ready(ctx, w); err != nil {
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
	arguments := []string{"--host", "127.0.0.1"}
	listener := transport
	if transport == withDeflate {
		listener = plainOf(transport)
		arguments = append(arguments, "--set", "ws.deflate.enabled=true")
	}
	for _, each := range []string{"tcp", "ws", "tls", "wss"} {
		own := 0
		if each == listener {
			own = port
		}
		arguments = append(arguments, "--"+each+"-port", strconv.Itoa(own))
	}
	if overTLS(transport) {
		arguments = append(arguments, "--ssl-cert", r.shown.cert, "--ssl-key", r.shown.key)
	}
	return exec.Command(r.programs[node], append(arguments, "--log-level", "error",
		"--set", fmt.Sprintf("loops=%d", loops), "--set", "admin.address=",
		"--set", fmt.Sprintf("message.payload.maxLength=%d", maxPayload),
		// Subscribers say nothing for as long as a run takes: a heartbeat would be a foreign
		// message.
		"--set", "connection.heartbeatRetryTimeout=3600000",
		"--set", "connection.heartbeatDeregisterTimeout=7200000")...)
}

// place is where a server is, over TLS with the certificate of the run, or as a running node is to
// be trusted.
func (r *runner) place(transport, address string) place {
	switch {
	case !overTLS(transport):
		return place{address: address}
	case r.Address == nil:
		return place{address, secureConfig(&tls.Config{RootCAs: r.shown.trust,
			ServerName: "127.0.0.1"})}
	}
	return place{address, secureConfig(r.TLS)}
}
