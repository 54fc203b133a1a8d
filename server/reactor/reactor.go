package reactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	gnet "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"
	"golang.org/x/sys/unix"

	"mbserver/server/broker"
)

// Reactor drives one loop with one of gnet's pollers, and is the loop's driver. Of gnet it takes
// that and no more: the poller waits for descriptors and runs what other goroutines ask for. What
// gnet keeps for each connection (buffers, addresses, a table) this node does not need, and it
// would be half of what an idle connection costs.
type Reactor struct {
	// Immutable after newReactor.
	group  *Group
	loop   *broker.Loop
	timer  *time.Timer // calls Schedule when the wheel's next timer is due
	finish queue.Func  // end, bound once
	poller *netpoll.Poller
	ended  chan struct{} // closed when the loop has stopped
	nudge  [2]int        // a pipe, of which the poller watches the first end
	epoll  int           // the poller's epoll descriptor

	// Guarded by mu.
	mu      sync.RWMutex // held for reading while something is given to the poller
	stopped bool         // the poller takes nothing more

	// Atomic.
	turn atomic.Int32 // turnState

	// Owned by the loop.
	guests map[int]Guest  // who minds descriptors that are not connections, by descriptor
	buf    []byte         // for one read
	secure *secureBuffers // nil before the first connection over TLS
	streak int            // turns in a row without a look at the sockets
	gave   bool           // a turn gave way, and its end is called for with what sockets bring
	attend func()         // what Nudge calls; nil: nothing
}

// turnState is where the loop's next turn stands.
type turnState = int32

const (
	turnIdle   turnState = iota // nobody asked for one
	turnQueued                  // its end is queued, or will be after a look at the sockets
	turnRuns                    // it ends
	turnAgain                   // and another was asked for meanwhile
)

// Guest minds a descriptor that is no connection of the node, or not yet.
type Guest interface {
	// Ready is called when the descriptor can be read, or has failed. buf is the loop's and valid
	// until Ready returns. It must not panic. Loop only.
	Ready(buf []byte)
}

func newReactor(g *Group, l *broker.Loop) (r *Reactor, err error) {
	r = &Reactor{
		group: g, loop: l,
		ended:  make(chan struct{}),
		guests: make(map[int]Guest),
		buf:    make([]byte, readMax),
	}
	r.finish = func(any) error { r.end(); return nil }
	if r.poller, err = netpoll.OpenPoller(); err != nil {
		return nil, err
	}
	r.timer = time.AfterFunc(time.Hour, r.Schedule)
	r.timer.Stop()
	if err = r.openNudge(); err != nil {
		_ = r.poller.Close()
		return nil, err
	}
	return r, nil
}

// run is the loop's goroutine.
func (r *Reactor) run() {
	defer close(r.ended)
	err := r.poller.Polling(r.event)
	if err != nil && !errors.Is(err, gnet.ErrEngineShutdown) {
		r.group.complain("a loop has ended", err)
	}
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.group.sockets.each(func(s *socket) {
		if s.reactor == r {
			s.conn.Cut()
			s.Close()
		}
	})
}

// askToEnd ends the loop as soon as it looks at what others ask; then it cuts the connections that
// are left.
func (r *Reactor) askToEnd() {
	r.timer.Stop()
	r.post(func(any) error { return gnet.ErrEngineShutdown })
}

// awaitEnd waits for that, and says whether it came before ctx ended.
func (r *Reactor) awaitEnd(ctx context.Context) bool {
	select {
	case <-r.ended:
		return true
	case <-ctx.Done():
	}
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// close gives back what the loop needs of the system. It runs no more.
func (r *Reactor) close() {
	_ = r.poller.Close() // its descriptors are gone in any case
	_ = unix.Close(r.nudge[0])
	_ = unix.Close(r.nudge[1])
}

// post has the loop call f between two looks at its sockets, or says that it has stopped. Any
// goroutine.
func (r *Reactor) post(f queue.Func) bool {
	r.mu.RLock() // the poller is not closed meanwhile
	defer r.mu.RUnlock()
	if r.stopped {
		return false
	}
	if err := r.poller.Trigger(queue.HighPriority, f, nil); err != nil {
		r.group.complain("cannot wake a loop", err)
	}
	return true
}

// Do has the loop call f between two looks at its sockets. When it is false the loop has stopped.
// f must not panic. Any goroutine.
func (r *Reactor) Do(f func()) bool {
	return r.post(func(any) error { f(); return nil })
}

// Call has the loop call f, and waits for that. When the loop has stopped, f is called here. When
// ctx ends first, f is called later, unless the loop ends. f must not panic. Any goroutine but the
// loop's.
func (r *Reactor) Call(ctx context.Context, f func()) {
	done := make(chan struct{})
	if r.Do(func() { f(); close(done) }) {
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-r.ended:
		}
		select {
		case <-done: // just before the end
			return
		default:
		}
	}
	select {
	case <-r.ended:
		f()
	case <-ctx.Done():
	}
}

// Now implements broker.Driver.
func (r *Reactor) Now() broker.Clock {
	t := time.Now()
	since := t.Sub(r.group.started)
	return broker.Clock{Ms: since.Milliseconds(), Ns: int64(since), Unix: t.UnixMilli()}
}

// Schedule implements broker.Driver.
func (r *Reactor) Schedule() {
	for {
		switch r.turn.Load() {
		case turnIdle:
			if r.turn.CompareAndSwap(turnIdle, turnQueued) {
				r.post(r.finish)
				return
			}
		case turnRuns:
			if r.turn.CompareAndSwap(turnRuns, turnAgain) {
				return
			}
		default:
			return
		}
	}
}

// ScheduleAt implements broker.Driver.
func (r *Reactor) ScheduleAt(ms int64) {
	r.timer.Reset(time.Until(r.group.started.Add(time.Duration(ms) * time.Millisecond)))
}

// end is the end of a turn. If another was asked for meanwhile, that follows at once when only an
// inbox has filled again, and after a look at the sockets when the loop gives way.
func (r *Reactor) end() {
	l := r.loop
	r.turn.Store(turnRuns)
	l.Run()
	if r.turn.CompareAndSwap(turnRuns, turnIdle) {
		r.streak = 0
		return
	}
	r.turn.Store(turnQueued)
	if r.streak++; r.streak < streakMax && !l.GivesWay() {
		r.post(r.finish)
		return
	}
	r.streak, r.gave = 0, true
	r.writeNudge()
}

// openNudge has the poller watch a pipe: what is written there wakes it, but unlike a task only
// together with the sockets.
func (r *Reactor) openNudge() error {
	if err := unix.Pipe(r.nudge[:]); err != nil {
		return err
	}
	for _, fd := range r.nudge {
		unix.CloseOnExec(fd)
		_ = unix.SetNonblock(fd, true)
	}
	return r.watch(r.nudge[0])
}

// nudged ends a turn after the sockets that were ready with the pipe, and calls attend.
func (r *Reactor) nudged() {
	_, _ = unix.Read(r.nudge[0], r.buf[:nudgesMax])
	if r.gave {
		r.gave = false
		r.post(r.finish)
	}
	if r.attend != nil {
		r.attend()
	}
}

// writeNudge wakes the loop. The pipe has room: there is at most one of the loop's own in it, and
// few of others.
func (r *Reactor) writeNudge() { _, _ = unix.Write(r.nudge[1], nudge) }

var nudge = []byte{0}

// Attend says what Nudge calls. f must not panic. Loop only.
func (r *Reactor) Attend(f func()) { r.attend = f }

// Nudge has the loop call what Attend has named, together with what its sockets have brought;
// several may be one call. Unlike with Do, a loop that is nudged all the time looks at its sockets
// in between. When it is false the loop has stopped. Any goroutine.
func (r *Reactor) Nudge() bool {
	r.mu.RLock() // the pipe is not closed meanwhile
	defer r.mu.RUnlock()
	if !r.stopped {
		r.writeNudge()
	}
	return !r.stopped
}

// event takes what the poller reports of one descriptor.
func (r *Reactor) event(fd int, ev netpoll.IOEvent, _ netpoll.IOFlags) error {
	if s := r.group.sockets.get(fd); s != nil && s.reactor == r {
		if over(ev) {
			s.end(true)
		} else if s.conn.Reads() {
			if s.secure != nil {
				s.secure.receive()
			} else {
				r.read(s)
			}
		}
	} else if fd == r.nudge[0] {
		r.nudged()
	} else if g := r.guests[fd]; g != nil {
		g.Ready(r.buf)
	}
	return nil
}

// read takes what has arrived for a connection.
func (r *Reactor) read(s *socket) {
	in, err := r.take(s)
	switch {
	case len(in) > 0:
		s.conn.Receive(in)
	case err == nil:
		s.end(false)
	case err != unix.EAGAIN:
		s.end(true)
	}
}

// take reads what has arrived at a socket, as much as the loop has time for. Without an error and
// bytes the stream has ended.
func (r *Reactor) take(s *socket) (in []byte, err error) {
	buf := r.buf[:r.loop.ReadSize(len(r.buf))]
	for {
		n, err := unix.Read(int(s.fd), buf)
		if err != unix.EINTR {
			return buf[:max(n, 0)], err
		}
	}
}

// Watch reports to g that fd can be read, until Forget, Open or the descriptor's end. Loop only.
func (r *Reactor) Watch(fd int, g Guest) error {
	if err := r.watch(fd); err != nil {
		return err
	}
	r.guests[fd] = g
	return nil
}

func (r *Reactor) watch(fd int) error {
	return r.poller.AddRead(&netpoll.PollAttachment{FD: fd}, false)
}

// Forget ends what Watch began. The descriptor stays open. Loop only.
func (r *Reactor) Forget(fd int) {
	delete(r.guests, fd)
	if err := r.poller.Delete(fd); err != nil {
		r.group.complain("cannot leave a descriptor alone", err)
	}
}

// Close ends what Watch began and closes the descriptor, which takes it out of the poller. Loop
// only.
func (r *Reactor) Close(fd int) {
	delete(r.guests, fd)
	_ = unix.Close(fd)
}

// errNotOpened says that a fault of ours prevented a connection.
var errNotOpened = errors.New("the loop did not open it")

// Open makes a connection of this loop of fd, which a guest may have minded until now. After an
// error fd is open and nobody minds it. Loop only.
func (r *Reactor) Open(fd int, a *broker.Arrival) (err error) {
	if r.guests[fd] != nil {
		delete(r.guests, fd)
	} else if err = r.watch(fd); err != nil {
		return fmt.Errorf("watching it: %w", err)
	}
	var s *socket
	var as broker.Socket
	if a.Session == nil {
		s = &socket{reactor: r, fd: int32(fd)}
		as = s
	} else {
		sealed := r.newSecure(a.Session, fd)
		s, as = &sealed.socket, sealed
	}
	if !r.loop.Open(&s.conn, a, as) {
		r.Forget(fd)
		return errNotOpened
	}
	r.group.sockets.put(fd, s)
	if s.secure == nil {
		s.conn.Receive(a.Rest)
	} else {
		s.secure.begin(a.Rest)
	}
	return nil
}

// complain writes a rate-limited line about what should not happen.
func (g *Group) complain(message string, err error) {
	g.broker.Throttle.Log(g.log, slog.LevelError, message, "error", err.Error())
}
