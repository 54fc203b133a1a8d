//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/bench/proc"
)

// bus is the nats-server over which nodes are a cluster.
type bus struct {
	address string
	cmd     *exec.Cmd
	said    *proc.Tail
}

// startBus starts one and waits until it listens.
func startBus(path, folder string) (*bus, error) {
	port, err := proc.FreePort()
	if err != nil {
		return nil, err
	}
	b := &bus{address: at(port), said: &proc.Tail{}}
	config := filepath.Join(folder, "nats.conf")
	text := fmt.Sprintf("listen: %q\nmax_payload: 1MB\nwrite_deadline: \"2s\"\n", b.address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	b.cmd = exec.Command(path, "-config", config)
	b.cmd.Stdout, b.cmd.Stderr = b.said, b.said
	b.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp4", b.address)
		if err == nil {
			return b, c.Close()
		}
		if time.Now().After(deadline) {
			b.stop()
			return nil, fmt.Errorf("%s does not start: %w; it said: %s", path, err, b.said)
		}
	}
}

// settings are those of a node that is to join.
func (b *bus) settings() []string { return []string{"cluster.urls=nats://" + b.address} }

func (b *bus) stop() {
	_ = b.cmd.Process.Kill() // It may be gone.
	_ = b.cmd.Wait()         // As we asked it to.
}
