package codec

import (
	"encoding/binary"

	"github.com/valyala/bytebufferpool"
)

const tcpHeaderLen = 4

// TCPDecoder cuts the TCP framing of protocol §1:
// "4-byte big-endian unsigned length N, then N bytes".
type TCPDecoder struct {
	// State between two calls.
	buf  *bytebufferpool.ByteBuffer // the part of a body that arrived
	head [tcpHeaderLen]byte         // the part of a length that arrived
	have uint8                      // bytes in head; 4: in a body
	lent bool                       // buf holds the last message
	lost bool                       // the framing is lost: head is over max

	max uint32 // bytes of a frame; the last of 24 bytes: a node keeps one for each connection
}

var _ Decoder = (*TCPDecoder)(nil)

// NewTCPDecoder returns a decoder for frames of at most maxFrame bytes, the length not counted. An
// empty frame is an empty message.
func NewTCPDecoder(maxFrame int) *TCPDecoder { return &TCPDecoder{max: uint32Of(maxFrame)} }

// Allow implements Decoder.
func (d *TCPDecoder) Allow(maxFrame int) { d.max = uint32Of(maxFrame) }

// Next implements Decoder. An oversized frame is an error as soon as its length is known: none of
// its body is kept.
func (d *TCPDecoder) Next(in []byte) (m Message, rest []byte, err *FrameError) {
	if d.lent {
		d.drop()
	}
	if d.lost {
		return d.refuse(binary.BigEndian.Uint32(d.head[:]))
	}
	if d.have == 0 && len(in) >= tcpHeaderLen { // the usual case: the frame lies in one piece
		n := binary.BigEndian.Uint32(in)
		if n > d.max {
			return d.refuse(n)
		}
		if body := in[tcpHeaderLen:]; int(n) <= len(body) {
			return Message{Binary, body[:n:n]}, body[n:], nil
		}
	}
	return d.resume(in)
}

// resume goes on with a frame that comes in pieces.
func (d *TCPDecoder) resume(in []byte) (Message, []byte, *FrameError) {
	if d.have < tcpHeaderLen {
		taken := copy(d.head[d.have:], in)
		d.have += uint8(taken)
		in = in[taken:]
		if d.have < tcpHeaderLen {
			return Message{}, nil, nil
		}
		if n := binary.BigEndian.Uint32(d.head[:]); n > d.max {
			return d.refuse(n)
		}
	}
	n, got := int(binary.BigEndian.Uint32(d.head[:])), filled(d.buf)
	if got == 0 && len(in) >= n { // only the length came apart
		d.have = 0
		return Message{Binary, in[:n:n]}, in[n:], nil
	}
	taken := min(n-got, len(in))
	d.buf = appendBuffer(d.buf, in[:taken], n)
	if got+taken < n {
		return Message{}, nil, nil
	}
	d.have, d.lent = 0, true
	return Message{Binary, d.buf.B[:n:n]}, in[taken:], nil
}

func (d *TCPDecoder) refuse(n uint32) (Message, []byte, *FrameError) {
	d.drop()
	d.lost = true
	binary.BigEndian.PutUint32(d.head[:], n)
	return Message{}, nil, tooLarge(uint64(n), d.max)
}

func (d *TCPDecoder) drop() {
	putBuffer(d.buf)
	d.buf, d.lent = nil, false
}

// Buffered implements Decoder.
func (d *TCPDecoder) Buffered() int { return held(d.buf) }

// Release implements Decoder.
func (d *TCPDecoder) Release() { d.drop() }

// AppendTCPHeader appends the length of a frame of n bytes, 0 ≤ n < 2³².
func AppendTCPHeader(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}
