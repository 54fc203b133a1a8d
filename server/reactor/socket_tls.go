//go:build unix

package reactor

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"mbserver/ringbuf"
	"mbserver/server/secure"
)

// secureSocket is the socket of a connection over TLS. The connection's plaintext waits in its
// ring, as any other's: it is sealed when the kernel has taken all that was sealed before, so that
// what waits here is one piece at the most. What arrives is opened as far as it goes, so that
// nothing waits here that no event would announce, but the beginning of a record. Owned by the
// loop.
type secureSocket struct {
	socket
	session *secure.Session
	left    *ringbuf.Shared // was sealed, and the kernel has not taken it; nil when it took all
	at      int             // how much of left it took
	over    error           // why nothing more arrives: secure.ErrEnded, or a fault of the peer
	held    int             // bytes that were charged for the session
}

// secureBuffers are what the secure sockets of a loop share: nothing stays in them.
type secureBuffers struct {
	opened   []byte // plaintext that has arrived
	gathered []byte // plaintext of several pieces that is to be sealed
	sealed   []byte // records that are to be written
}

func newSecureBuffers() *secureBuffers {
	return &secureBuffers{
		opened:   make([]byte, 0, readMax+recordMax),
		gathered: make([]byte, 0, sealMax),
		sealed:   make([]byte, 0, sealMax+recordMax),
	}
}

// newSecure makes the socket of a connection over TLS of a plain one.
func (r *Reactor) newSecure(session *secure.Session, fd int) *secureSocket {
	if r.secure == nil {
		r.secure = newSecureBuffers()
	}
	s := &secureSocket{socket: socket{reactor: r, fd: int32(fd)}, session: session}
	s.secure = s
	return s
}

// begin takes what came together with the end of the handshake, rest of it opened by the door.
func (s *secureSocket) begin(rest []byte) {
	s.reactor.group.broker.Sessions.Add(s.session.Cost())
	s.conn.Receive(rest)
	s.pass(nil)
}

// errBacklog ends a connection that makes its session answer and does not read the answers.
var errBacklog = errors.New("it does not read what its session has to answer")

// Read implements broker.Socket.
func (s *secureSocket) Read() []byte {
	for range opensMax {
		if s.over != nil {
			s.announce()
			return nil
		}
		in := s.socket.Read()
		if len(in) == 0 {
			return nil
		}
		if plain := s.open(in); len(plain) > 0 {
			return plain
		}
	}
	return nil // an event announces what there is
}

// receive takes what has arrived.
func (s *secureSocket) receive() {
	if s.over == nil {
		in, err := s.reactor.take(&s.socket)
		switch {
		case len(in) > 0:
			s.pass(in)
		case err == nil:
			s.end(false)
		case err != unix.EAGAIN:
			s.end(true)
		}
		return
	}
	s.settle()
}

// pass opens in and gives it to the connection.
func (s *secureSocket) pass(in []byte) {
	if plain := s.open(in); len(plain) > 0 {
		s.conn.Receive(plain)
	}
	s.settle()
}

// settle ends the connection when its session has, unless it has not taken all that came before:
// then that is done by what reads it on, PauseReading or Read.
func (s *secureSocket) settle() {
	if s.over != nil && s.fd >= 0 && s.conn.Reads() {
		s.end(s.over != secure.ErrEnded)
	}
}

// announce has settle called after the turn.
func (s *secureSocket) announce() { s.reactor.Do(s.settle) }

// PauseReading implements broker.Socket.
func (s *secureSocket) PauseReading(paused bool) {
	s.socket.PauseReading(paused)
	if !paused && s.over != nil {
		s.announce()
	}
}

// open decrypts what has arrived. The result is valid until the next call on the loop.
func (s *secureSocket) open(in []byte) []byte {
	b := s.reactor.secure
	plain, err := s.decrypt(b.opened[:0], in)
	b.opened = plain[:0]
	if answer := s.session.Answer(); len(answer) > 0 {
		if fault := s.say(answer); err == nil {
			err = fault
		}
	}
	s.over = err
	if held := s.session.Held(); held != s.held {
		s.held = held
		s.conn.Recharge()
	}
	return plain
}

// errFault ends a connection that a fault of ours has ended.
var errFault = errors.New("a fault of the node")

// decrypt is Session.Open, whose faults must not end the loop.
func (s *secureSocket) decrypt(dst, in []byte) (plain []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			s.reactor.group.complain("internal fault", fmt.Errorf("panic: %v", v))
			plain, err = dst, errFault
		}
	}()
	return s.session.Open(dst, in)
}

// Write implements ringbuf.Writer.
func (s *secureSocket) Write(p []byte) (taken int, err error) {
	if err := s.push(); err != nil {
		return 0, err
	}
	for taken < len(p) {
		n := min(len(p)-taken, sealMax)
		if err := s.seal(p[taken : taken+n]); err != nil && err != ringbuf.ErrBehind {
			return taken, err
		} else if taken += n; err != nil {
			return taken, err
		}
	}
	return taken, nil
}

// Writev implements ringbuf.Writer.
func (s *secureSocket) Writev(bufs [][]byte) (taken int, err error) {
	if err := s.push(); err != nil {
		return 0, err
	}
	b := s.reactor.secure
	plain := b.gathered[:0]
	for i, p := range bufs {
		for last := i == len(bufs)-1; len(p) > 0; {
			n := min(len(p), sealMax-len(plain))
			plain, p = append(plain, p[:n]...), p[n:]
			if len(plain) < sealMax && !(last && len(p) == 0) {
				continue
			}
			if err := s.seal(plain); err != nil && err != ringbuf.ErrBehind {
				return taken, err
			} else if taken += len(plain); err != nil {
				return taken, err
			}
			plain = plain[:0]
		}
	}
	if len(plain) == 0 {
		return taken, nil
	}
	err = s.seal(plain) // the last pieces were empty
	if err == nil || err == ringbuf.ErrBehind {
		taken += len(plain)
	}
	return taken, err
}

// seal encrypts p and writes it; ringbuf.ErrBehind: not all of it yet.
func (s *secureSocket) seal(p []byte) error {
	b := s.reactor.secure
	sealed, err := s.session.Seal(b.sealed[:0], p)
	b.sealed = sealed[:0]
	if err != nil {
		return err
	}
	s.conn.Wrote(len(p))
	return s.send(sealed)
}

// send writes records behind which nothing waits.
func (s *secureSocket) send(sealed []byte) error {
	n, err := s.put(sealed)
	if err != nil {
		return err
	}
	if n < len(sealed) {
		s.left, s.at = ringbuf.NewShared(len(sealed)-n), 0
		s.left.B = append(s.left.B, sealed[n:]...)
		return ringbuf.ErrBehind
	}
	return nil
}

// push writes what was left; ringbuf.ErrBehind: some still is.
func (s *secureSocket) push() error {
	if s.left == nil {
		return nil
	}
	n, err := s.put(s.left.B[s.at:])
	if err != nil {
		return err
	}
	if s.at += n; s.at < len(s.left.B) {
		return ringbuf.ErrBehind
	}
	s.left.Release()
	s.left = nil
	return nil
}

// put writes as much as the kernel takes.
func (s *secureSocket) put(b []byte) (written int, err error) {
	for written < len(b) {
		n, err := unix.Write(int(s.fd), b[written:])
		written += max(n, 0)
		if stop, err := retry(err); stop {
			return written, err
		}
	}
	return written, nil
}

// say writes what the session says by itself, behind what waits. What the kernel does not take
// waits for the next write.
func (s *secureSocket) say(b []byte) error {
	if s.left == nil {
		if err := s.send(b); err != ringbuf.ErrBehind {
			return err
		}
		return nil
	}
	if len(s.left.B) > 2*sealMax {
		return errBacklog
	}
	s.left.B = append(s.left.B, b...)
	return nil
}

// Unacked implements broker.Socket.
func (s *secureSocket) Unacked() int { return s.socket.Unacked() + s.waits() }

// waits is how many bytes were sealed and not written.
func (s *secureSocket) waits() int {
	if s.left == nil {
		return 0
	}
	return len(s.left.B) - s.at
}

// Held implements broker.Socket.
func (s *secureSocket) Held() int {
	if s.left == nil {
		return s.held
	}
	return s.held + cap(s.left.B)
}

// CloseWrite implements broker.Socket. It is called again when the socket takes bytes and did not
// take the end of the stream.
func (s *secureSocket) CloseWrite() {
	err := s.push()
	if err == nil {
		err = s.send(s.session.Finish(nil))
	}
	if err != ringbuf.ErrBehind || s.AwaitWritable() != nil {
		s.socket.CloseWrite() // of a fault the next event tells
	}
}

// leave says goodbye, as far as it can be said at once: the descriptor is about to be closed.
func (s *secureSocket) leave() {
	if s.push() == nil {
		_, _ = s.put(s.session.Finish(nil))
	}
	if s.left != nil {
		s.left.Release()
		s.left = nil
	}
	s.reactor.group.broker.Sessions.Add(-s.session.Cost())
}
