//go:build linux

package bench

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds every wait for the server.
const patience = 10 * time.Second

// conn is one connection of the generator. It belongs to its loop.
type conn struct {
	fd      int
	role    role
	session *session // over TLS, else nil

	in    int64  // received since the handshake, in the unit of wire.delivered
	out   []byte // rest of a write that the kernel did not take
	own   []byte // buffer behind out, where the role makes what it writes
	rest  []byte // part of a frame: of a responder, or compressed
	armed bool   // the epoll watches EPOLLOUT

	stream *stream // of a publisher or subscriber
	share  int64   // of a subscriber: what it receives in one round of the stream
	goal   int64   // of a subscriber: value of in at which it is done with the current round
	asking *asking // of a requester

	// Of a wire that tallies.
	skip   int    // bytes of the current frame that have not arrived
	head   []byte // part of a frame's head
	packed int    // length of the current frame if it is compressed, else 0
	opens  bool   // it is gathered in rest, to be inflated

	early []byte // came with the upgrade to WebSocket, and belongs to the answer to hello
}

// place is where a server listens, and what is agreed on with it over TLS; nil without.
type place struct {
	address string
	tls     *tls.Config
}

// dial connects, says hello and waits for the welcome.
func dial(at place, w wire, r role, topic string, slot, frame int) (*conn, error) {
	address := at.address
	fd, err := connect(address)
	if err != nil {
		return nil, err
	}
	c := &conn{fd: fd, role: r}
	if at.tls != nil {
		if c.session, err = handshake(fd, at.tls); err != nil {
			c.close()
			return nil, fmt.Errorf("connecting to %s: %w", address, err)
		}
	}
	if u, ok := w.(upgrader); ok {
		var refused error
		upgraded := func(in []byte) (done bool) {
			c.early = behindHead(in)
			done, refused = u.upgraded(in)
			return done || refused != nil
		}
		err := c.exchange(u.upgrade(), upgraded)
		if err == nil {
			err = refused
		}
		if err != nil {
			c.close()
			return nil, fmt.Errorf("upgrading at %s: %w", address, err)
		}
	}
	if err := c.exchange(w.hello(r, topic, slot, frame), w.welcomed); err != nil {
		c.close()
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	return c, nil
}

// behindHead is what follows an HTTP answer's head.
func behindHead(in []byte) []byte {
	_, rest, _ := bytes.Cut(in, []byte("\r\n\r\n"))
	return rest
}

// subscribe makes c receive pattern.
func (c *conn) subscribe(w wire, pattern string, slot int) error {
	m := w.subscribe(c.role, pattern, slot)
	if m == nil {
		return nil
	}
	if err := c.exchange(m, w.subscribed); err != nil {
		return fmt.Errorf("subscribing to %s: %w", pattern, err)
	}
	return nil
}

func (c *conn) close() { _ = unix.Close(c.fd) } // Nothing is lost with it.

// leave closes c when the server has closed its side, or after a while: what connects next finds a
// server that has forgotten c.
func (c *conn) leave() {
	defer c.close()
	const soon = time.Second
	deadline := time.Now().Add(soon)
	buf := make([]byte, 1<<10)
	for n := 1; n > 0; {
		_ = unix.Shutdown(c.fd, unix.SHUT_WR) // It may be gone, which the read tells.
		if await(c.fd, unix.POLLIN, deadline) != nil {
			return
		}
		n, _ = unix.Read(c.fd, buf) // As above.
	}
}

// connect opens a TCP connection that does not block and does not delay. Over loopback it is
// established when it returns.
func connect(address string) (int, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return 0, fmt.Errorf("address %s: %w", address, err)
	}
	var to unix.Sockaddr = &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().Unmap().As4()}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // Costs latency at worst.
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		_ = unix.Close(fd) // The error to tell is Connect's.
		return 0, fmt.Errorf("connecting to %s: %w", address, err)
	}
	err = await(fd, unix.POLLOUT, time.Now().Add(patience))
	if err == nil {
		var errno int
		errno, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && errno != 0 {
			err = unix.Errno(errno)
		}
	}
	if err != nil {
		_ = unix.Close(fd) // As above.
		return 0, fmt.Errorf("connecting to %s: %w", address, err)
	}
	return fd, nil
}

// await waits until fd is ready.
func await(fd int, event int16, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("nothing from the server in %v", patience)
		}
		polled := []unix.PollFd{{Fd: int32(fd), Events: event}}
		n, err := unix.Poll(polled, int(left/time.Millisecond)+1)
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			return nil
		}
	}
}

// exchange writes m and reads until done says that everything has arrived.
func (c *conn) exchange(m []byte, done func(in []byte) bool) error {
	deadline := time.Now().Add(patience)
	m = c.outbound(m)
	for len(m) > 0 {
		n, err := unix.Write(c.fd, m)
		if err == unix.EAGAIN {
			err = await(c.fd, unix.POLLOUT, deadline)
		}
		if err != nil {
			return err
		}
		m = m[max(n, 0):]
	}
	in := c.early
	c.early = nil
	buf := make([]byte, 16<<10)
	for !done(in) {
		if err := await(c.fd, unix.POLLIN, deadline); err != nil {
			return fmt.Errorf("%w; so far %q", err, in[:min(len(in), 80)])
		}
		n, err := unix.Read(c.fd, buf)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("the server closed the connection after %q", in[:min(len(in), 80)])
		case c.session != nil:
			if in, err = c.session.open(in, buf[:n]); err != nil {
				return err
			}
		default:
			in = append(in, buf[:n]...)
		}
	}
	return nil
}

// outbound is what is written for b, which stays as it is. It is good until the next call.
func (c *conn) outbound(b []byte) []byte {
	if c.session == nil {
		return b
	}
	c.own = c.session.seal(c.own[:0], b)
	return c.own
}

// sealed is out with what was appended behind begin as it is written.
func (c *conn) sealed(out []byte, begin int) []byte {
	if c.session == nil {
		return out
	}
	return c.session.sealTail(out, begin)
}
