package reactor

import (
	"golang.org/x/sys/unix"
)

// stallWatcher waits, in one goroutine with an epoll of its own, for sockets that took less than
// there was to write, and tells their loops when they take bytes again. gnet's epoll is not asked
// for writability, because gnet would act on it. Each event fires once. Closing a descriptor
// removes it.
type stallWatcher struct {
	// Immutable after newStallWatcher.
	group *Group
	epoll int
	stop  int // eventfd
	done  chan struct{}
}

func newStallWatcher(g *Group) (*stallWatcher, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: stopEvent}
		err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, stop, &ev)
	}
	if err != nil {
		_ = unix.Close(epoll)
		return nil, err
	}
	w := &stallWatcher{group: g, epoll: epoll, stop: stop, done: make(chan struct{})}
	go w.run()
	return w, nil
}

// stopEvent is the event data of the stop descriptor;
// a connection's is its loop and slot, and its generation.
const stopEvent = -1

// watch arranges one Writable for s's connection when its descriptor takes bytes again. again says
// that it was watched before. Called by the loop that owns s.
func (w *stallWatcher) watch(s *socket, again bool) error {
	slot, gen := s.conn.Handle()
	ev := unix.EpollEvent{
		Events: unix.EPOLLOUT | unix.EPOLLONESHOT,
		Fd:     int32(s.reactor.loop.Index())<<slotBits | int32(slot),
		Pad:    int32(gen),
	}
	op := unix.EPOLL_CTL_ADD
	if again {
		op = unix.EPOLL_CTL_MOD
	}
	return unix.EpollCtl(w.epoll, op, int(s.fd), &ev)
}

// slotBits is how much of an event's data is the slot; the sign bit stays free for stopEvent.
const slotBits = 23

func (w *stallWatcher) run() {
	defer close(w.done)
	events := make([]unix.EpollEvent, 64)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			w.group.complain("watching stalled sockets failed", err)
			return
		}
		for _, ev := range events[:max(n, 0)] {
			if ev.Fd == stopEvent {
				return
			}
			l := w.group.reactors[ev.Fd>>slotBits].loop
			l.Writable(uint32(ev.Fd&(1<<slotBits-1)), uint32(ev.Pad))
		}
	}
}

func (w *stallWatcher) close() {
	_, _ = unix.Write(w.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-w.done
	_ = unix.Close(w.epoll)
	_ = unix.Close(w.stop)
}
