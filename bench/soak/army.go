//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// army is the attackers of one attack. It is a process of its own, see doc.go.
type army struct {
	to    addresses
	until time.Time
	share int // numbers of connections and rates are divided by it

	dials, refused, lost atomic.Int64

	mu      sync.Mutex
	wronged map[string]int // guarded by mu: by attack
}

// report is what an army says of itself at its end.
type report struct {
	Dials, Refused, Lost int64
	Wronged              map[string]int // attackers that read, and were cut or not answered
}

// lingering is how long after its end an army may be there, when nobody ends it.
const lingering = 10 * time.Second

// attackMain is the attackers' process: it fights until its time is over or its input ends.
func attackMain(names []attack, to addresses, share int, length time.Duration) int {
	stepBack()
	a := &army{
		to: to, until: time.Now().Add(length), share: share, wronged: make(map[string]int),
	}
	for _, one := range names {
		go one.start(a)
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // Its end is what matters.
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(length + lingering):
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := report{a.dials.Load(), a.refused.Load(), a.lost.Load(), a.wronged}
	if json.NewEncoder(os.Stdout).Encode(r) != nil {
		return 1
	}
	return 0
}

// How the attackers run: one thread of them at a time, which gets a tenth of what a thread of the
// node gets where they want the same core, and in short slices: the node hardly waits for them.
const (
	attackNice  = 10
	attackSlice = 200 * time.Microsecond // Linux 6.12; ignored before
)

// stepBack lets every thread of this process run so (sched(7)). Threads to come inherit it.
func stepBack() {
	runtime.GOMAXPROCS(1)
	tasks, _ := filepath.Glob("/proc/self/task/*") // The pattern is good.
	attr := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: attackNice,
		Runtime: uint64(attackSlice),
	}
	for _, t := range tasks {
		if id, err := strconv.Atoi(filepath.Base(t)); err == nil {
			_ = unix.SchedSetAttr(id, &attr, 0) // Without it the attackers are only stronger.
		}
	}
}

// muster is a running army, as the judge sees it.
type muster struct {
	cmd   *exec.Cmd
	input io.WriteCloser
	out   io.ReadCloser
}

// attackWith starts the attackers.
func attackWith(c cell, to addresses, length time.Duration) (*muster, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := &muster{cmd: exec.Command(self, "-attack", c.attack.name, "-tcp", to.TCP, "-ws", to.WS,
		"-share", strconv.Itoa(c.share()), "-for", length.String())}
	m.cmd.Stderr = os.Stderr
	m.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if m.input, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if m.out, err = m.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return m, m.cmd.Start()
}

// dismiss ends the attackers and returns what they say.
func (m *muster) dismiss() (r report, err error) {
	_ = m.input.Close() // It is gone otherwise.
	slow := time.AfterFunc(lingering, func() { _ = m.cmd.Process.Kill() })
	defer slow.Stop()
	err = json.NewDecoder(m.out).Decode(&r)
	_ = m.cmd.Wait() // How it ended does not matter.
	if err != nil {
		return r, fmt.Errorf("the attackers: %w", err)
	}
	return r, nil
}

// wrong counts an attacker that reads, and was cut or not answered.
func (a *army) wrong(attack string) {
	a.mu.Lock()
	a.wronged[attack]++
	a.mu.Unlock()
}

// over says whether the attack's time has come.
func (a *army) over() bool { return time.Now().After(a.until) }

// goOn is over's opposite, for loops that ask before each step.
func (a *army) goOn() bool { return !a.over() }

// few divides a number of connections by the army's share; at least one.
func (a *army) few(n int) int { return max(1, n/a.share) }

// rest is how long an attacker waits that was refused or cut.
const rest = 50 * time.Millisecond

// crew keeps n attackers going: one that ends begins again after a rest.
func (a *army) crew(n int, life func(i int) error) {
	for i := range n {
		go func() {
			for a.goOn() {
				if err := life(i); err != nil {
					if _, ok := err.(refusal); ok {
						a.refused.Add(1)
					} else {
						a.lost.Add(1)
					}
				}
				time.Sleep(rest) // Its pace.
			}
		}()
	}
}

// join connects one attacker, the odd ones over WebSocket, and makes its requests.
func (a *army) join(i int, narrow bool, requests ...string) (*client, error) {
	return a.joinAs(manner{ws: i%2 == 1, narrow: narrow}, requests...)
}

func (a *army) joinAs(m manner, requests ...string) (*client, error) {
	a.dials.Add(1)
	c, err := dial(a.to, m)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(requests); i += 2 {
		if err := c.ask(requests[i], requests[i+1]); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// talkers is a crew of clients that read all they are sent, and forget it, while each does what
// life says. A write notices the end.
func (a *army) talkers(n int, life func(i int, c *client) error) {
	a.crew(n, func(i int) error {
		c, err := a.join(i, false)
		if err != nil {
			return err
		}
		defer c.Close()
		go func() { _ = c.discard() }()
		return life(i, c)
	})
}

// listeners is a crew of clients that make their requests and then read all they are sent, but for
// each fourth, which reads nothing.
func (a *army) listeners(n int, requests ...string) {
	a.crew(n, func(i int) error {
		stalled := i%4 == 0
		c, err := a.join(i, stalled, requests...)
		if err != nil {
			return err
		}
		if stalled {
			return a.hold(c)
		}
		defer c.Close()
		return c.drain()
	})
}

// hold keeps the connection without reading it, until the army leaves or the node closes it, which
// shows at a write only.
func (a *army) hold(c *client) error {
	defer c.Close()
	for a.goOn() {
		time.Sleep(time.Second) // Its manner.
		// Half a frame's head would be a message; a heartbeat's answer keeps it alive.
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		if err := c.send("response:system.heartbeat:1.0.0", "{}"); err != nil &&
			!os.IsTimeout(err) {
			return err
		}
	}
	return nil
}

// paced returns what waits for the next of so many steps a second, and says whether to take it.
func (a *army) paced(perSecond int) func() bool {
	interval := time.Second / time.Duration(perSecond) * time.Duration(a.share)
	next := time.Now()
	return func() bool {
		next = next.Add(interval)
		if wait := time.Until(next); wait > 0 {
			time.Sleep(wait) // The pace.
		} else if wait < -time.Second {
			next = time.Now() // What the node held up is not made up for.
		}
		return a.goOn()
	}
}
