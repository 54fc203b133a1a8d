package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"mbserver/bench/proc"
)

// process is a program that the demo has started.
type process struct {
	name   string
	cmd    *exec.Cmd
	ended  chan struct{} // closed when it has
	said   *proc.Tail
	wanted atomic.Bool // it should run: that it ends is a failure
}

// start starts a program, which ends with the demo. When it ends before it is told to, fail is
// called. On the goroutine of main, whose thread it hangs on.
func start(fail func(error), name, path string, arguments ...string) (*process, error) {
	p := &process{name: name, ended: make(chan struct{}), said: &proc.Tail{}}
	p.cmd = exec.Command(path, arguments...)
	p.cmd.Env = []string{} // without the settings of a node in the shell
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	p.cmd.SysProcAttr = attributes()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.wanted.Store(true)
	go func() {
		err := p.cmd.Wait()
		if p.wanted.Load() {
			fail(fmt.Errorf("%s has ended (%v); it said:\n%s", name, err, p.said))
		}
		close(p.ended)
	}()
	return p, nil
}

// tell sends a signal to a process that is to end.
func (p *process) tell(s syscall.Signal) {
	p.wanted.Store(false)
	_ = p.cmd.Process.Signal(s) // it may have ended
}

// kill ends it at once.
func (p *process) kill() {
	p.tell(syscall.SIGKILL)
	<-p.ended
}

// endTime is how long processes have to end in their own way.
const endTime = 3 * time.Second

// endAll ends processes, the last one first.
func endAll(all []*process) {
	for i := len(all) - 1; i >= 0; i-- {
		all[i].tell(syscall.SIGTERM)
	}
	late := time.After(endTime)
	for _, p := range all {
		select {
		case <-p.ended:
		case <-late:
			p.kill()
		}
	}
}

// programOf finds a program of the system's.
func programOf(name, apt string) (path string, err error) {
	for _, path := range []string{name, "/usr/sbin/" + name} { // only root has that in its path
		if path, err = exec.LookPath(path); err == nil {
			return path, nil
		}
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the demo needs %s: apt-get install --no-install-recommends %s", name, apt)
	}
	return "", err
}

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// await polls for a condition.
func await(ctx context.Context, what string, condition func() bool) error {
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %v", what, patience)
		}
		if err := rest(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// rest waits for a while. The error is why the demo ends before.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
