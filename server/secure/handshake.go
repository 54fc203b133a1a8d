package secure

import (
	"crypto/tls"
	"errors"
	"iter"
)

// Handshake makes a Session. crypto/tls cannot go on with a handshake that it has returned from, so
// it runs as a coroutine, which stands still while nothing has arrived. Each Step goes on with it,
// and so nobody waits for the peer. One goroutine at a time, not always the same.
type Handshake struct {
	session *Session
	next    func() (struct{}, bool)
	stop    func()
	err     error
	fed     int
}

// feedMax is how many bytes a client may send before its handshake is done: a chain of
// certificates, if it is asked for one, and little more.
const feedMax = 64 << 10

// ErrTooLong says that a client sends more than any handshake needs.
var ErrTooLong = errors.New("it sends too much")

func newHandshake(cfg *tls.Config) *Handshake {
	s := &Session{}
	s.conn = tls.Server(&s.wire, cfg)
	h := &Handshake{session: s}
	h.next, h.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.wire.more = func() bool { return yield(struct{}{}) }
		h.err = s.conn.Handshake()
		s.wire.more = nil
	})
	return h
}

// Feed adds what has arrived, which is copied.
func (h *Handshake) Feed(b []byte) error {
	if h.fed += len(b); h.fed > feedMax {
		return ErrTooLong
	}
	h.session.wire.in = append(h.session.wire.in, b...)
	return nil
}

// Step goes on until more has to arrive, or the handshake is done or has failed. It may take a
// millisecond of a processor. In every case there may be something to be sent.
func (h *Handshake) Step() (done bool, err error) {
	if _, more := h.next(); more {
		return false, nil
	}
	return h.err == nil, h.err
}

// Answer returns what is to be sent.
func (h *Handshake) Answer() []byte { return h.session.Answer() }

// Stop ends a handshake that nobody goes on with. It may be called after the last Step too.
func (h *Handshake) Stop() { h.stop() }

// Session returns what the handshake was for, when that is done. What has arrived behind it is
// opened by the session's next Open, which must be called once even if nothing more arrives.
func (h *Handshake) Session() *Session { return h.session }

// Resumed says that a handshake that is done went on with an earlier session.
func (h *Handshake) Resumed() bool { return h.session.conn.ConnectionState().DidResume }
