package door

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/server/broker"
)

// listener accepts on one address. The first loop watches it: accepting never waits, and a loop
// that does it itself wakes nobody. What it accepts is spread over all loops.
type listener struct {
	// Immutable after Open.
	door      *Door
	transport broker.Transport
	address   *net.TCPAddr
	gate      *gate // nil before Open

	// Owned by the gate's loop, after Open.
	fd      int  // -1 when closed
	watched bool // the loop tells when somebody comes
	resting bool // it will be again, after backoff
	backoff time.Duration
}

// newListener takes the descriptor out of Go's poller, which would be woken by every arrival too.
// bound is closed.
func (d *Door) newListener(bound *net.TCPListener, t broker.Transport) (*listener, error) {
	defer bound.Close()
	raw, err := bound.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &listener{
		door: d, transport: t, address: bound.Addr().(*net.TCPAddr), backoff: acceptBackoffMin,
	}
	failed := raw.Control(func(fd uintptr) {
		l.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil {
		err = failed
	}
	return l, err
}

// resume begins, or begins again, to accept, unless it must not yet.
func (l *listener) resume() {
	if l.fd < 0 || l.watched || l.resting || l.gate.door.turnstile.shut {
		return
	}
	if err := l.watch(); err != nil {
		l.rest(err)
	}
}

func (l *listener) watch() error {
	err := l.gate.room.Watch(l.fd, l)
	l.watched = err == nil
	return err
}

// forget leaves those who wait where they are.
func (l *listener) forget() {
	if l.watched {
		l.gate.room.Forget(l.fd)
		l.watched = false
	}
}

// close ends the listener. A socket that was handed in stays open elsewhere, and what arrives there
// waits for whoever takes it next: so it is never shut down (shutdown(2) ends it for all), and it
// is taken out of the poller before it is closed, which would go on reporting it.
func (l *listener) close() {
	if l.fd < 0 {
		return
	}
	l.forget()
	_ = unix.Close(l.fd)
	l.fd = -1
}

// Ready implements reactor.Guest: connections wait to be accepted.
func (l *listener) Ready([]byte) {
	if l.watched { // else it was reported before it was left
		l.door.turnstile.turn(l)
	}
}

// take accepts so many at the most.
func (l *listener) take(most int) {
	for n := 0; n < most && l.takeOne("", 0); n++ {
	}
}

// takeOne accepts one, who may not enter for the reason of refusal (protocol §4; empty: may), and
// should come back after some time. It says whether there was one. In a shortage of descriptors
// visits end for the sake of newer ones; then the listener rests, but never stops.
func (l *listener) takeOne(refusal string, after time.Duration) bool {
	for l.fd >= 0 && !l.resting {
		fd, remote, err := accept(l.fd)
		switch err {
		case nil:
			l.backoff = acceptBackoffMin
			l.gate.arrive(arrival{
				fd: fd, transport: l.transport, remote: remote, loopback: l.address.IP.IsLoopback(),
				proxy: l.door.proxies(l.transport, remote), refusal: refusal, after: after,
			})
			return true
		case unix.EAGAIN:
			return false
		case unix.EINTR, unix.ECONNABORTED: // that peer has gone
		default:
			if shortage(err) && l.gate.yield() {
				continue
			}
			l.rest(err)
		}
	}
	return false
}

// rest leaves the queue alone for a while.
func (l *listener) rest(err error) {
	l.door.noteFailed(failedAccept)
	l.door.warn("cannot accept a connection", err.Error(), "transport", l.transport.String(),
		"error", err.Error(), "retryMs", l.backoff.Milliseconds())
	l.forget()
	l.resting = true
	for _, g := range l.door.gates {
		if g != l.gate && shortage(err) {
			g.room.Do(func() { g.yield() })
		}
	}
	time.AfterFunc(l.backoff, func() {
		l.gate.room.Do(func() {
			l.resting = false
			l.resume()
		})
	})
	l.backoff = min(2*l.backoff, acceptBackoffMax)
}
