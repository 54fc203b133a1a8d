package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
)

// Session is one TLS connection whose handshake is done, seen from the server. It knows no socket
// and never waits. One goroutine at a time.
type Session struct {
	conn *tls.Conn
	wire wire
	end  error // why nothing more can be opened; nil: nothing ended it
}

// ErrEnded says that the peer has ended its stream in order, with close_notify.
var ErrEnded = errors.New("the peer has ended its stream")

// chunk is how many bytes Open makes room for at a time: the longest record's plaintext.
const chunk = 16 << 10

// Open decrypts what has arrived and appends the plaintext to dst, whose spare room it uses. All of
// in is used, and not kept: what is left is at most the beginning of a record. The plaintext is
// never longer than what arrived, but for what had been left. An error comes with the plaintext
// before it: ErrEnded, or one that says what the peer did wrong. What the session has to answer is
// for Answer.
func (s *Session) Open(dst, in []byte) ([]byte, error) {
	if len(s.wire.in) > 0 { // it came with the end of the handshake
		in = append(s.wire.in, in...)
	}
	s.wire.in = in
	for s.end == nil {
		if len(dst) == cap(dst) {
			dst = append(dst, make([]byte, chunk)...)[:len(dst)]
		}
		n, err := s.conn.Read(dst[len(dst):cap(dst)])
		if dst = dst[:len(dst)+n]; n > 0 {
			s.wire.mute = 0
		}
		switch {
		case err == nil:
			continue
		case err == nothing && s.wire.mute > muteMax:
			s.end = ErrTooLong
		case err == nothing:
			s.wire.in = nil
			return dst, nil
		case err == io.EOF:
			s.end = ErrEnded
		default:
			s.end = err
		}
	}
	s.wire.in = nil
	return dst, s.end
}

// Behind says that something arrived with the end of the handshake and was not opened.
func (s *Session) Behind() bool { return len(s.wire.in) > 0 }

// Seal encrypts p, in as few records as possible, and appends them to dst. An error is for good.
func (s *Session) Seal(dst, p []byte) ([]byte, error) {
	s.wire.out = append(dst, s.wire.out...)
	_, err := s.conn.Write(p)
	return s.Answer(), err
}

// Answer returns what the session has to say by itself: an alert, the answer to a change of keys.
func (s *Session) Answer() []byte {
	out := s.wire.out
	s.wire.out = nil
	return out
}

// Finish appends the end of our stream, close_notify, to dst, once. Nothing may be sealed
// afterwards.
func (s *Session) Finish(dst []byte) []byte {
	s.wire.out = append(dst, s.wire.out...)
	_ = s.conn.CloseWrite() // of memory nothing fails
	return s.Answer()
}

// muteMax is how many bytes a peer may send without plaintext in them: a record that has begun, and
// some changes of keys. crypto/tls would keep a handshake message of 256 KiB that never ends.
const muteMax = 32 << 10

// Held is, in bytes, what the session keeps for records that are longer than usual, or were, and of
// messages that are not plaintext and have only begun.
func (s *Session) Held() int { return max(s.wire.room+2*s.wire.mute-usualRoom, 0) }

// sessionCost is what a session costs in bytes, beside what it has Held and the certificates that
// its client has shown.
const sessionCost = 7 << 10

// Cost is what the session costs in bytes as long as it stands, beside what it has Held.
func (s *Session) Cost() int64 {
	cost := sessionCost
	for _, shown := range s.conn.ConnectionState().PeerCertificates {
		cost += certificateCost * len(shown.Raw)
	}
	return int64(cost)
}

// certificateCost is what a certificate costs that was parsed, for each of its bytes.
const certificateCost = 4

// usualRoom is how many bytes for records are part of what every session costs: the ClientHello of
// a browser needs them, and a change of keys.
const usualRoom = 3 << 10

// Peers returns the certificates that the client has shown, its own first, which was verified; none
// when it has shown none.
func (s *Session) Peers() []*x509.Certificate { return s.conn.ConnectionState().PeerCertificates }
