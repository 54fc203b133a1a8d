//go:build linux

package raw

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

const (
	readSize  = 256 << 10 // bytes of one read
	lagLimit  = 4 << 20   // bytes waiting for one subscriber before its publishers are not read
	pollMs    = 100       // longest wait, after which the context is looked at
	eventSize = 512
)

// Hub is one thread with one epoll. It belongs to the goroutine that runs Serve.
type Hub struct {
	epoll, listener int
	port            int
	peers           map[int32]*peer
	channels        map[string]*channel
	requesters      map[uint32]*peer
	dirty           []*peer // have bytes to write in this turn
	buf             []byte
	events          []unix.EpollEvent
}

// peer is one connection.
type peer struct {
	fd      int
	hello   Hello
	channel *channel
	greeted bool
	dead    bool
	dirty   bool
	waiting bool   // for room: the epoll watches EPOLLOUT
	in      []byte // part of a hello or of a frame
	out     []byte // what the kernel did not take yet
}

// channel connects peers that named it.
type channel struct {
	subscribers []*peer
	responders  []*peer
	publishers  []*peer
	next        int  // responder of the next read
	paused      bool // publishers are not read
	lagging     int  // subscribers with more than lagLimit waiting
}

// Listen opens a hub on 127.0.0.1; port 0 lets the kernel pick.
func Listen(port int) (*Hub, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("raw: socket: %w", err)
	}
	h := &Hub{
		listener: fd, peers: make(map[int32]*peer), channels: make(map[string]*channel),
		requesters: make(map[uint32]*peer), buf: make([]byte, readSize),
		events: make([]unix.EpollEvent, eventSize),
	}
	// This only spares waiting for an old port.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	address := &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(fd, address); err != nil {
		_ = unix.Close(fd) // Bind's error is the one to tell.
		return nil, fmt.Errorf("raw: bind 127.0.0.1:%d: %w", port, err)
	}
	err = unix.Listen(fd, 4096)
	if err == nil {
		h.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	}
	if err == nil {
		err = h.admit(fd)
	}
	if err != nil {
		_ = unix.Close(fd) // As above.
		return nil, fmt.Errorf("raw: listen: %w", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return nil, fmt.Errorf("raw: %w", err)
	}
	h.port = bound.(*unix.SockaddrInet4).Port
	return h, nil
}

// Addr is the address the hub listens on.
func (h *Hub) Addr() string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(h.port)) }

// Serve works until ctx ends and closes everything.
func (h *Hub) Serve(ctx context.Context) error {
	defer h.close()
	for ctx.Err() == nil {
		n, err := unix.EpollWait(h.epoll, h.events, pollMs)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("raw: epoll: %w", err)
		}
		for _, ev := range h.events[:max(n, 0)] {
			if int(ev.Fd) == h.listener {
				h.accept()
				continue
			}
			p := h.peers[ev.Fd]
			if p == nil || p.dead {
				continue
			}
			if ev.Events&unix.EPOLLOUT != 0 {
				h.mark(p)
			}
			if ev.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
				h.read(p)
			}
		}
		h.flush()
	}
	return nil
}

func (h *Hub) accept() {
	for {
		fd, _, err := unix.Accept4(h.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // Costs latency at worst.
		if h.admit(fd) != nil {
			_ = unix.Close(fd) // The client sees the end.
			continue
		}
		h.peers[int32(fd)] = &peer{fd: fd}
	}
}

// admit has the kernel tell when there is something to read on fd.
func (h *Hub) admit(fd int) error {
	readable := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	return unix.EpollCtl(h.epoll, unix.EPOLL_CTL_ADD, fd, &readable)
}

func (h *Hub) close() {
	for _, p := range h.peers {
		_ = unix.Close(p.fd) // Everything ends here.
	}
	_, _ = unix.Close(h.listener), unix.Close(h.epoll)
}
