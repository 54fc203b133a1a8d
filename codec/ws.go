package codec

import (
	"encoding/binary"

	"github.com/gobwas/ws"
	"github.com/valyala/bytebufferpool"
)

const (
	maxWSHeaderLen = ws.MaxHeaderSize

	// wsIncomplete: the header is not all there. No frame header is that short.
	wsIncomplete = 0
)

// WSDecoder cuts WebSocket framing (RFC 6455 §5) and joins fragmented messages.
//
// A frame passes three steps: its header (parseHead), its payload, which is unmasked and, if text,
// checked as it arrives (arrive), and its end (finish).
type WSDecoder struct {
	// The order makes 64 bytes: a node keeps one for each connection.
	max    uint32 // bytes of a message
	client bool   // immutable after New

	// State between two calls.
	lent  bool                       // buf or ctl holds the last message
	whole bool                       // buf's message is done
	have  uint8                      // bytes in head
	buf   *bytebufferpool.ByteBuffer // the part of a message that arrived
	ctl   *bytebufferpool.ByteBuffer // the part of a control frame that arrived
	err   *FrameError                // the framing is lost

	// The message that is being put together.
	kind Kind      // None: no message is open
	text utf8State // of a Text message

	// The frame that is being read.
	inside bool      // header read, payload not yet complete
	fin    bool      // last frame of its message
	op     ws.OpCode // of the frame
	head   [maxWSHeaderLen]byte
	key    [4]byte // all zero when not masked

	deflate bool // permessage-deflate is agreed: messages may be compressed; immutable

	left uint32 // payload bytes still to come
	done uint32 // payload bytes that arrived
}

var _ Decoder = (*WSDecoder)(nil)

// NewWSDecoder returns a decoder for messages of at most maxFrame bytes, all their fragments
// together. client is the side that decodes: a server's peer must mask its frames, a client's must
// not.
func NewWSDecoder(maxFrame int, client bool) *WSDecoder {
	return &WSDecoder{max: uint32Of(maxFrame), client: client}
}

// Allow implements Decoder. It counts for the next frame of a message that has begun, too.
func (d *WSDecoder) Allow(maxFrame int) { d.max = uint32Of(maxFrame) }

// Next implements Decoder. The payload of a frame that lies whole in in is unmasked in place and
// not copied.
func (d *WSDecoder) Next(in []byte) (m Message, rest []byte, err *FrameError) {
	if d.lent {
		d.reclaim()
	}
	if d.err != nil {
		return Message{}, nil, d.err
	}
	if !d.inside {
		size, ok := d.takeHead(in)
		if d.err != nil {
			return Message{}, nil, d.err
		}
		in = in[size:]
		if !ok {
			return Message{}, nil, nil
		}
	}
	n := min(int(d.left), len(in))
	if !d.arrive(in[:n]) {
		return Message{}, nil, d.err
	}
	d.left -= uint32(n)
	if d.left > 0 { // all taken, more needed
		d.keep(in[:n])
		return Message{}, nil, nil
	}
	d.inside = false
	if m, err = d.finish(in[:n:n]); err != nil {
		return Message{}, nil, err
	}
	return m, in[n:], nil
}

// takeHead reads a frame header from in, or from what was kept of it and in. size is how many bytes
// of in it took; ok says that the header is complete.
func (d *WSDecoder) takeHead(in []byte) (size int, ok bool) {
	if d.have == 0 {
		if size = d.parseHead(in); size != wsIncomplete || d.err != nil {
			return size, d.err == nil
		}
		d.have = uint8(copy(d.head[:], in)) // shorter than a header: all of it fits
		return len(in), false
	}
	before := int(d.have)
	n := before + copy(d.head[before:], in)
	if size = d.parseHead(d.head[:n]); size != wsIncomplete {
		d.have = 0
		return size - before, d.err == nil
	}
	d.have = uint8(n)
	return n - before, false
}

// parseHead reads the frame header at the start of b and checks it (RFC 6455 §5.2), each byte as
// soon as it is there. It returns the header's length, or wsIncomplete, also when it set d.err.
func (d *WSDecoder) parseHead(b []byte) (size int) {
	if len(b) == 0 {
		return wsIncomplete
	}
	op, fin := ws.OpCode(b[0]&0x0f), b[0]&wsFin != 0
	// §5.2: "MUST be 0 unless an extension is negotiated that defines meanings" for them.
	if b[0]&wsRSV != 0 && !d.mayCompress(b[0]) {
		return d.fail(CloseProtocolError, "a reserved bit is set")
	}
	// §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail_".
	if op.IsReserved() {
		return d.fail(CloseProtocolError, "reserved opcode")
	}
	if op.IsControl() {
		if !fin { // §5.5: "MUST NOT be fragmented"
			return d.fail(CloseProtocolError, "fragmented control frame")
		}
	} else if (op == ws.OpContinuation) != (d.kind != None) { // §5.4
		if op == ws.OpContinuation {
			return d.fail(CloseProtocolError, "continuation without a message to continue")
		}
		return d.fail(CloseProtocolError, "new message inside a fragmented one")
	}
	if len(b) < 2 {
		return wsIncomplete
	}
	masked, n := b[1]&wsMask != 0, uint64(b[1]&0x7f)
	// §5.1: "MUST mask all frames that it sends to the server", "MUST NOT mask …".
	if masked == d.client {
		if masked {
			return d.fail(CloseProtocolError, "masked frame from a server")
		}
		return d.fail(CloseProtocolError, "unmasked frame from a client")
	}
	// §5.5: "MUST have a payload length of 125 bytes or less".
	if op.IsControl() && n > maxControlLen {
		return d.fail(CloseProtocolError, "control frame over 125 bytes")
	}
	size = 2
	switch n {
	case 126:
		if size += 2; len(b) < size {
			return wsIncomplete
		}
		n = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if size += 8; len(b) < size {
			return wsIncomplete
		}
		n = binary.BigEndian.Uint64(b[2:])
		if n>>63 != 0 { // §5.2: "the most significant bit MUST be 0"
			return d.fail(CloseProtocolError, "frame length over 63 bits")
		}
	}
	if !op.IsControl() {
		if total := n + uint64(filled(d.buf)); total > uint64(d.max) && total > d.longest(b[0]) {
			d.abandon(tooLarge(total, d.max))
			return wsIncomplete
		}
	}
	d.key = [4]byte{}
	if masked {
		if size += 4; len(b) < size {
			return wsIncomplete
		}
		d.key = [4]byte(b[size-4 : size])
	}
	d.op, d.fin, d.left, d.done, d.inside = op, fin, uint32(n), 0, true
	switch ws.OpCode(b[0] &^ wsFin) {
	case ws.OpText:
		d.kind, d.text = Text, utf8Start
	case ws.OpBinary:
		d.kind = Binary
	case ws.OpText | wsRSV1:
		d.kind = deflatedText
	case ws.OpBinary | wsRSV1:
		d.kind = deflatedBinary
	}
	return size
}

// arrive unmasks the next bytes of the frame's payload in place and checks text.
func (d *WSDecoder) arrive(p []byte) bool {
	if !d.client {
		unmask(p, d.key, int(d.done))
	}
	d.done += uint32(len(p))
	// §8.1: "that endpoint MUST _Fail the WebSocket Connection_",
	// which need not wait for the message's end.
	if d.kind == Text && !d.op.IsControl() && !d.text.feed(p) {
		d.fail(CloseInvalidData, "text is not UTF-8")
		return false
	}
	return true
}

// keep stores bytes of a payload that is not complete.
func (d *WSDecoder) keep(p []byte) {
	if d.op.IsControl() {
		d.ctl = appendBuffer(d.ctl, p, maxControlLen)
		return
	}
	total := int(d.max)
	if d.fin { // the message's length is known
		total = filled(d.buf) + len(p) + int(d.left)
	}
	d.buf = appendBuffer(d.buf, p, total)
}

// finish ends a frame whose last bytes are p. A fragment is told of because it is work: a few bytes
// may hold thousands, also empty ones.
func (d *WSDecoder) finish(p []byte) (Message, *FrameError) {
	if d.op.IsControl() {
		return d.finishControl(p)
	}
	if d.fin && filled(d.buf) == 0 { // the usual case: one frame, in one piece
		return d.finishMessage(p)
	}
	d.keep(p)
	if !d.fin {
		return Message{Kind: Fragment}, nil
	}
	d.lent, d.whole = true, true
	data := d.buf.B
	return d.finishMessage(data[:len(data):len(data)])
}

// finishMessage closes the message whose whole payload is data.
func (d *WSDecoder) finishMessage(data []byte) (Message, *FrameError) {
	kind := d.kind
	d.kind = None
	if kind == Text && !d.text.complete() {
		d.fail(CloseInvalidData, "text ends inside a character")
		return Message{}, d.err
	}
	return Message{kind, data}, nil
}

func (d *WSDecoder) finishControl(p []byte) (Message, *FrameError) {
	if d.ctl != nil {
		d.keep(p)
		p, d.lent = d.ctl.B[:len(d.ctl.B):len(d.ctl.B)], true
	}
	switch d.op {
	case ws.OpPing:
		return Message{Ping, p}, nil
	case ws.OpPong:
		return Message{Pong, p}, nil
	}
	if len(p) > 0 {
		// §5.5.1: "the first two bytes of the body MUST be a 2-byte unsigned integer", then
		// "UTF-8-encoded data".
		if len(p) == 1 {
			d.fail(CloseProtocolError, "close payload of one byte")
		} else if !validCloseCode(binary.BigEndian.Uint16(p)) {
			d.fail(CloseProtocolError, "invalid close code")
		} else if reason := utf8Start; !reason.feed(p[2:]) || !reason.complete() {
			d.fail(CloseInvalidData, "close reason is not UTF-8")
		}
		if d.err != nil {
			return Message{}, d.err
		}
	}
	return Message{Close, p}, nil
}

// fail loses the framing. It returns wsIncomplete for parseHead's sake.
func (d *WSDecoder) fail(code uint16, reason string) int {
	d.abandon(&FrameError{Reason: reason, CloseCode: code})
	return wsIncomplete
}

func (d *WSDecoder) abandon(err *FrameError) {
	d.Release()
	d.err = err
}

// reclaim gives back the buffers of the last message. A fragmented message that a control frame
// interrupted stays.
func (d *WSDecoder) reclaim() {
	putBuffer(d.ctl)
	d.ctl, d.lent = nil, false
	if d.whole {
		putBuffer(d.buf)
		d.buf, d.whole = nil, false
	}
}

// Buffered implements Decoder.
func (d *WSDecoder) Buffered() int { return held(d.buf) + held(d.ctl) }

// Release implements Decoder.
func (d *WSDecoder) Release() {
	d.whole = true
	d.reclaim()
}
