//go:build linux

package bench

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Of records (RFC 8446 §5).
const (
	recordHead    = 5
	recordMax     = 16 << 10 // bytes of content
	recordExtra   = 1 + 16   // type of the content, and tag
	typeData      = 23
	typeAlert     = 21
	typeHandshake = 22
)

// session is a connection's keys of TLS 1.3 with AES-128-GCM. crypto/tls does the handshake; what
// follows is done here, without allocations, and what need not be understood is not decrypted: the
// load is on a core of its own, but it must keep up. It belongs to its loop.
type session struct {
	out, in direction
	plain   []byte // what is being sealed
	held    []byte // the beginning of a record that is opened
	head    []byte // the beginning of a record's head, of count
	skip    int    // bytes of the counted record that have not arrived
}

// direction seals or opens.
type direction struct {
	aead  cipher.AEAD
	iv    [12]byte
	nonce [12]byte
	seq   uint64
}

// newDirection derives what a traffic secret is for (RFC 8446 §7.3).
func newDirection(secret []byte) (d direction, err error) {
	expand := func(label string, n int) ([]byte, error) {
		info := binary.BigEndian.AppendUint16(nil, uint16(n))
		info = append(append(info, byte(len("tls13 ")+len(label))), "tls13 "+label...)
		return hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
	}
	key, err := expand("key", 16)
	if err != nil {
		return d, err
	}
	iv, err := expand("iv", len(d.iv))
	if err != nil {
		return d, err
	}
	copy(d.iv[:], iv)
	block, err := aes.NewCipher(key)
	if err != nil {
		return d, err
	}
	d.aead, err = cipher.NewGCM(block)
	return d, err
}

// next is the nonce of the next record (RFC 8446 §5.3).
func (d *direction) next() []byte {
	d.nonce = d.iv
	low := d.nonce[4:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^d.seq)
	d.seq++
	return d.nonce[:]
}

// seal appends the records of plain.
func (s *session) seal(dst, plain []byte) []byte {
	for len(plain) > 0 {
		part := plain[:min(len(plain), recordMax)]
		plain = plain[len(part):]
		size := len(part) + recordExtra
		dst = slices.Grow(dst, recordHead+size)
		begin := len(dst)
		dst = append(dst, typeData, 3, 3, byte(size>>8), byte(size))
		head := dst[begin:]
		body := len(dst)
		dst = append(append(dst, part...), typeData)
		dst = s.out.aead.Seal(dst[:body], s.out.next(), dst[body:], head)
	}
	return dst
}

// sealTail makes records of what stands in dst behind begin.
func (s *session) sealTail(dst []byte, begin int) []byte {
	s.plain = append(s.plain[:0], dst[begin:]...)
	return s.seal(dst[:begin], s.plain)
}

// open appends the content of all whole records in in, which follows what came before.
func (s *session) open(dst, in []byte) ([]byte, error) {
	s.held = append(s.held, in...)
	rest := s.held
	for len(rest) >= recordHead {
		size := recordHead + int(binary.BigEndian.Uint16(rest[3:]))
		if len(rest) < size {
			break
		}
		begin := len(dst)
		var err error
		dst, err = s.in.aead.Open(dst, s.in.next(), rest[recordHead:size], rest[:recordHead])
		if err != nil {
			return dst, fmt.Errorf("a record cannot be opened: %w", err)
		}
		content := bytes.TrimRight(dst[begin:], "\x00") // RFC 8446 §5.4
		if len(content) == 0 {
			return dst, errors.New("a record without a type")
		}
		dst = dst[:begin+len(content)-1]
		switch content[len(content)-1] {
		case typeAlert:
			return dst, errEnded
		case typeHandshake: // tickets, which are not used
			dst = dst[:begin]
		}
		rest = rest[size:]
	}
	s.held = s.held[:copy(s.held, rest)]
	return dst, nil
}

// count returns how many bytes of content arrived with in, by the heads of the records, which are
// not opened. Those of one that is not whole count when they are there.
func (s *session) count(in []byte) (n int64) {
	for len(in) > 0 {
		if s.skip > 0 {
			part := min(s.skip, len(in))
			// Type and tag stand behind the content.
			n += int64(max(s.skip-recordExtra, 0) - max(s.skip-part-recordExtra, 0))
			s.skip -= part
			in = in[part:]
			continue
		}
		part := min(recordHead-len(s.head), len(in))
		s.head = append(s.head, in[:part]...)
		in = in[part:]
		if len(s.head) == recordHead {
			s.skip = int(binary.BigEndian.Uint16(s.head[3:]))
			s.head = s.head[:0]
		}
	}
	return n
}

// secrets is a key log (the NSS format) of one handshake.
type secrets map[string][]byte

func (s secrets) Write(line []byte) (int, error) {
	if fields := bytes.Fields(line); len(fields) == 3 {
		secret, err := hex.DecodeString(string(fields[2]))
		if err != nil {
			return 0, err
		}
		s[string(fields[0])] = secret
	}
	return len(line), nil
}

// handshake does that of TLS on a connection that does not block, and returns what it agreed on.
func handshake(fd int, cfg *tls.Config) (*session, error) {
	cfg, keys := cfg.Clone(), secrets{}
	cfg.KeyLogWriter = keys
	shaken := tls.Client(&waiting{fd: fd, deadline: time.Now().Add(patience)}, cfg)
	if err := shaken.Handshake(); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	if suite := shaken.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		return nil, fmt.Errorf("TLS: the server chose %s, the generator speaks %s",
			tls.CipherSuiteName(suite), tls.CipherSuiteName(tls.TLS_AES_128_GCM_SHA256))
	}
	s := &session{head: make([]byte, 0, recordHead)}
	var err error
	if s.out, err = newDirection(keys["CLIENT_TRAFFIC_SECRET_0"]); err == nil {
		s.in, err = newDirection(keys["SERVER_TRAFFIC_SECRET_0"])
	}
	return s, err
}

// waiting is a descriptor for crypto/tls, which gets a record at a time and so no byte of what
// follows the handshake.
type waiting struct {
	net.Conn // nil: only what a handshake needs is there
	fd       int
	deadline time.Time
	left     int // bytes of the current record
}

func (w *waiting) Read(p []byte) (int, error) {
	if w.left > 0 {
		n, err := w.some(p[:min(len(p), w.left)])
		w.left -= n
		return n, err
	}
	head := p[:recordHead] // crypto/tls asks for more
	for read := 0; read < len(head); {
		n, err := w.some(head[read:])
		if err != nil {
			return 0, err
		}
		read += n
	}
	w.left = int(binary.BigEndian.Uint16(head[3:]))
	return len(head), nil
}

func (w *waiting) some(p []byte) (int, error) {
	for {
		n, errno := sysRead(w.fd, p)
		switch {
		case errno == unix.EAGAIN || errno == unix.EINTR:
			if err := await(w.fd, unix.POLLIN, w.deadline); err != nil {
				return 0, err
			}
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, errEnded
		default:
			return n, nil
		}
	}
}

func (w *waiting) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n, errno := sysWrite(w.fd, p[sent:])
		if errno == unix.EAGAIN {
			if err := await(w.fd, unix.POLLOUT, w.deadline); err != nil {
				return sent, err
			}
			continue
		}
		if errno != 0 {
			return sent, errno
		}
		sent += n
	}
	return len(p), nil
}

func (w *waiting) Close() error                     { return nil } // The descriptor goes on.
func (w *waiting) SetWriteDeadline(time.Time) error { return nil }
