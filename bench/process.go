//go:build linux

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/bench/proc"
)

// process is the server under measurement. One that was started elsewhere has no cmd and maybe no
// pid.
type process struct {
	cmd     *exec.Cmd
	pid     int
	at      place
	cleanup func()
	exited  chan struct{} // closed when cmd has ended
	said    *tail
	started time.Time     // just before cmd was
	up      time.Duration // from then to the first welcome

	far, bus *process // of several nodes the other one, and what is between both; else nil
}

// tail keeps the end of what a server says, for the error message when it fails.
type tail struct{ b bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	if t.b.Len() > 16<<10 {
		t.b.Reset()
	}
	return t.b.Write(p)
}

// launch starts cmd with all of its threads on cpus, of which at most procs run Go code at a time.
func launch(cmd *exec.Cmd, cpus unix.CPUSet, procs int) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{}), said: &tail{}, cleanup: func() {}}
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(procs))
	cmd.Stdout, cmd.Stderr = p.said, p.said
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true} // an interrupt is the harness's to handle
	// A child inherits the mask of the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	err := unix.SchedGetaffinity(0, &before)
	if err == nil {
		err = unix.SchedSetaffinity(0, &cpus)
	}
	if err != nil {
		return nil, fmt.Errorf("affinity: %w", err)
	}
	p.started = time.Now()
	err = errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &before))
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	p.pid = cmd.Process.Pid
	go func() {
		_ = cmd.Wait() // How it ended is said by whoever misses it.
		close(p.exited)
	}()
	return p, nil
}

// only is the set of one core.
func only(core int) (set unix.CPUSet) {
	set.Set(core)
	return set
}

// pinSelf binds all threads of this process to a core and returns what undoes it. Later threads
// inherit.
func pinSelf(core int) (undo func(), err error) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("affinity: %w", err)
	}
	each := func(set *unix.CPUSet) {
		tasks, _ := filepath.Glob("/proc/self/task/*") // The pattern is good.
		for _, t := range tasks {
			if id, err := strconv.Atoi(filepath.Base(t)); err == nil {
				_ = unix.SchedSetaffinity(id, set) // The thread may be gone.
			}
		}
	}
	set := only(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("pinning to core %d: %w", core, err)
	}
	each(&set)
	return func() { each(&before) }, nil
}

// ready waits until the server welcomes a client.
func (p *process) ready(ctx context.Context, w wire) error {
	deadline := time.Now().Add(patience)
	for {
		c, err := dial(p.at, w, idler, "bench.start", 0, minPayload)
		if err == nil {
			p.up = time.Since(p.started)
			c.leave()
			return nil
		}
		if errors.Is(err, errDeclined) { // so it will be next time
			return fmt.Errorf("%s: %w", p.name(), err)
		}
		select {
		case <-p.exited:
			said := strings.TrimSpace(p.said.b.String())
			return fmt.Errorf("%s ended at once: %s", p.name(), said)
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s accepts nobody: %w", p.name(), err)
		}
		time.Sleep(200 * time.Microsecond) // Between two attempts: the server has the other core.
	}
}

// name is what the server is called in an error: its program, or where it listens when it was
// started elsewhere.
func (p *process) name() string {
	if p.cmd == nil {
		return "the server at " + p.at.address
	}
	return p.cmd.Path
}

// stop ends a server that was started here.
func (p *process) stop() {
	for _, part := range []*process{p.far, p.bus} {
		if part != nil {
			defer part.stop()
		}
	}
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(unix.SIGTERM) // It may be gone.
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill() // As above.
		<-p.exited
	}
	p.cleanup()
}

// cpu is the server's CPU time in ns as the scheduler counts it, all threads together; 0 when the
// process is not known.
func (p *process) cpu() int64 {
	if p.pid == 0 {
		return 0
	}
	return proc.CPU(p.pid)
}

// resident is the server's resident memory in bytes; 0 when the process is not known.
func (p *process) resident() (n int64) {
	for _, part := range []*process{p, p.far, p.bus} {
		if part != nil && part.pid != 0 {
			n += proc.Resident(part.pid)
		}
	}
	return n
}
