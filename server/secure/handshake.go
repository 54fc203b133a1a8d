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
	most    int // that may be fed
}

// How many bytes a client may send before its handshake is done: one that is asked for a
// certificate a chain of them, any other little more than its ClientHello.
const (
	feedMax      = HelloMax + 4<<10
	feedMaxChain = 64 << 10
)

// ErrTooLong says that a client sends more than any handshake needs.
var ErrTooLong = errors.New("it sends too much")

func newHandshake(cfg *tls.Config) *Handshake {
	s := &Session{}
	s.conn = tls.Server(&s.wire, cfg)
	h := &Handshake{session: s, most: feedMax}
	if cfg.ClientAuth != tls.NoClientCert {
		h.most = feedMaxChain
	}
	h.next, h.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.wire.more = func() bool { return yield(struct{}{}) }
		h.err = s.conn.Handshake()
		s.wire.more, s.wire.mute = nil, 0
	})
	return h
}

// Feed adds what has arrived, which is copied.
func (h *Handshake) Feed(b []byte) error {
	if h.fed += len(b); h.fed > h.most {
		return ErrTooLong
	}
	h.session.wire.in = append(h.session.wire.in, b...)
	return nil
}

// Fed is how many bytes were fed.
func (h *Handshake) Fed() int { return h.fed }

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
