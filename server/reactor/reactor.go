package reactor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"github.com/panjf2000/gnet/v2/pkg/pool/goroutine"

	"mbserver/server/broker"
)

// reactor drives one loop with one gnet event loop, and is the loop's driver. gnet's own engine is
// a client without listeners: the door accepts, and enrolls what has passed. One gnet client per
// loop lets the door choose the loop.
type reactor struct {
	gnet.BuiltinEventEngine

	// Immutable after newReactor.
	group  *Group
	loop   *broker.Loop
	client *gnet.Client // nil until started
	timer  *time.Timer  // calls Schedule when the wheel's next timer is due
	yield  *time.Timer  // calls Schedule after the sockets had their turn

	// Atomic.
	// events is known from the first connection on; nothing can wake a loop before.
	events atomic.Pointer[gnet.EventLoop]
	armed  atomic.Bool // a turn's end is queued

	// Owned by the loop.
	epoll  int // gnet's epoll descriptor; 0 = not looked for, -1 = not found
	streak int // turns in a row that ended with a full inbox
}

// enrolment is an arrival on its way from the door to its loop.
type enrolment struct {
	*broker.Arrival
	opened bool // set by the loop; read by the door after the hand-over
}

// gnet starts a pool of workers for calls that this node never makes;
// its two tickers would be work at idle.
func init() { goroutine.DefaultWorkerPool.Release() }

func newReactor(g *Group, l *broker.Loop) *reactor {
	r := &reactor{group: g, loop: l}
	r.timer = time.AfterFunc(time.Hour, r.Schedule)
	r.timer.Stop()
	r.yield = time.AfterFunc(time.Hour, r.Schedule)
	r.yield.Stop()
	return r
}

func (r *reactor) start() (err error) {
	// The door's connections have TCP_NODELAY from Go: gnet need not set it again.
	r.client, err = gnet.NewClient(r, gnet.WithNumEventLoop(1), gnet.WithReadBufferCap(readMax),
		gnet.WithLogger(gnetLogger{r.group.log}), gnet.WithTCPNoDelay(gnet.TCPDelay))
	if err != nil {
		return err
	}
	return r.client.Start()
}

func (r *reactor) stop() {
	r.timer.Stop()
	r.yield.Stop()
	_ = r.client.Stop()
}

// Now implements broker.Driver.
func (r *reactor) Now() broker.Clock {
	t := time.Now()
	return broker.Clock{Ms: t.Sub(r.group.started).Milliseconds(), Unix: t.UnixMilli()}
}

// Schedule implements broker.Driver.
func (r *reactor) Schedule() {
	events := r.events.Load()
	if events == nil || !r.armed.CompareAndSwap(false, true) {
		return
	}
	if (*events).Execute(context.Background(), r) != nil {
		r.armed.Store(false) // the engine has stopped
	}
}

// ScheduleAt implements broker.Driver.
func (r *reactor) ScheduleAt(ms int64) {
	r.timer.Reset(time.Until(r.group.started.Add(time.Duration(ms) * time.Millisecond)))
}

// Run implements gnet.Runnable: the end of a turn.
func (r *reactor) Run(context.Context) error {
	l := r.loop
	if r.streak < streakMax {
		r.armed.Store(false)
		l.Run()
		if r.armed.Load() {
			r.streak++
		} else {
			r.streak = 0
		}
		return nil
	}
	// The bound is reached. armed stays true during this turn, so Schedule queues nothing and gnet
	// polls next. A wish made meanwhile (timer, another loop) was refused: yield repeats it after
	// the poll.
	r.streak = 0
	l.Run()
	r.armed.Store(false)
	r.yield.Reset(0)
	return nil
}

// OnOpen implements gnet.EventHandler: an arrival has passed the door.
func (r *reactor) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	if r.events.Load() == nil {
		events := gc.EventLoop()
		r.events.Store(&events)
	}
	a := gc.Context().(*enrolment)
	gc.SetContext(nil)
	sock := &gnetSocket{reactor: r, conn: gc, fd: gc.Fd()}
	c := r.loop.Open(a.Arrival, sock)
	if c == nil {
		return nil, gnet.Close
	}
	sock.slot, sock.gen = c.Handle()
	gc.SetContext(c)
	a.opened = true
	c.Receive(a.Rest)
	return nil, gnet.None
}

// OnTraffic implements gnet.EventHandler.
func (r *reactor) OnTraffic(gc gnet.Conn) gnet.Action {
	c, _ := gc.Context().(*broker.Conn)
	if c == nil {
		return gnet.Close
	}
	in, _ := gc.Peek(-1)
	c.Receive(in)
	_, _ = gc.Discard(-1)
	return gnet.None
}

// OnClose implements gnet.EventHandler: the peer has ended the connection. The descriptor is still
// open here, and closed by gnet right after.
func (r *reactor) OnClose(gc gnet.Conn, err error) gnet.Action {
	c, _ := gc.Context().(*broker.Conn)
	if c == nil {
		return gnet.None
	}
	gc.SetContext(nil)
	c.PeerClosed(err != nil && !isEOF(err))
	return gnet.None
}

func isEOF(err error) bool {
	var call *os.SyscallError
	return errors.Is(err, io.EOF) || errors.As(err, &call) && call.Err == io.EOF
}

// gnetLogger passes gnet's own complaints to the node's log; it has none in normal operation.
type gnetLogger struct{ log *slog.Logger }

var _ logging.Logger = gnetLogger{}

func (g gnetLogger) Debugf(format string, args ...any) {}
func (g gnetLogger) Infof(format string, args ...any)  {}
func (g gnetLogger) Warnf(format string, args ...any) {
	g.log.Warn("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLogger) Errorf(format string, args ...any) {
	g.log.Error("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLogger) Fatalf(format string, args ...any) {
	g.log.Error("gnet: " + fmt.Sprintf(format, args...))
}
