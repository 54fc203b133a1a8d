package secure

import (
	"bytes"
	"net"
	"time"
)

// wire is the connection that crypto/tls believes to speak through. It is memory: what has arrived
// is put in, what is to be sent is taken out. Owned by whoever has the session, one goroutine at a
// time.
type wire struct {
	in   []byte      // has arrived and was not read
	out  []byte      // is to be sent
	more func() bool // waits until something has arrived; nil: nobody waits

	head [recordHead]byte // of a record's header that comes in pieces, what came
	have int              // bytes of it
	left int              // bytes that are to come of the record that has begun
	room int              // bytes that crypto/tls holds to assemble records in
	mute int              // bytes read since there was plaintext
}

// recordHead is how long the header of a TLS record is: type, version, length.
const recordHead = 5

// nothing says that nothing is there to be read at the moment. crypto/tls takes a net.Error that is
// temporary for no end of the session, and may be asked again.
var nothing error = errNothing{}

type errNothing struct{}

func (errNothing) Error() string   { return "nothing has arrived" }
func (errNothing) Timeout() bool   { return true }
func (errNothing) Temporary() bool { return true }

// Read implements net.Conn. It does not read beyond the record that has begun: so crypto/tls, which
// keeps what it has asked for once, keeps no more than the longest record needs.
func (w *wire) Read(p []byte) (int, error) {
	for len(w.in) == 0 {
		if w.more == nil || !w.more() {
			w.more = nil
			return 0, nothing
		}
	}
	switch {
	case w.left > 0:
	case w.have == 0 && len(w.in) >= recordHead:
		w.begin(w.in)
		w.left += recordHead
	default: // a header in pieces
		n := w.take(p, min(recordHead-w.have, len(w.in)))
		if w.have += copy(w.head[w.have:], p[:n]); w.have == recordHead {
			w.have = 0
			w.begin(w.head[:])
		}
		return n, nil
	}
	n := w.take(p, min(w.left, len(w.in)))
	w.left -= n
	return n, nil
}

// begin notes that a record begins whose header is head. Of it left bytes are to come.
func (w *wire) begin(head []byte) {
	w.left = int(head[3])<<8 + int(head[4])
	// crypto/tls has a bytes.Buffer grow by what is missing and by bytes.MinRead.
	if need := recordHead + w.left + bytes.MinRead; need > w.room {
		w.room = max(need, 2*w.room)
	}
}

func (w *wire) take(p []byte, most int) int {
	n := copy(p, w.in[:most])
	w.in = w.in[n:]
	w.mute += n
	return n
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	return len(p), nil
}

// Close and what follows have no meaning here.
func (w *wire) Close() error                     { return nil }
func (w *wire) LocalAddr() net.Addr              { return nil }
func (w *wire) RemoteAddr() net.Addr             { return nil }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
