package codec

import (
	"bytes"

	"github.com/klauspost/compress/flate"
)

// Deflater compresses messages, each by itself (RFC 7692 §7.2.1 with
// server_no_context_takeover). It keeps no state between two of them but its buffers. The zero
// value is ready; for one goroutine.
type Deflater struct {
	in, out []byte
}

// deflaterKeep is the capacity in bytes that each buffer keeps from one message to the next.
const deflaterKeep = 256 << 10

// Deflate returns the message that consists of head and body as the payload of a compressed frame:
// valid until the next call. smaller says that it has become smaller; else it is better sent as it
// is.
func (d *Deflater) Deflate(head, body []byte) (payload []byte, smaller bool) {
	in := head
	if len(body) > 0 {
		d.in = append(append(d.in[:0], head...), body...)
		in = d.in
	}
	d.out = d.out[:0]
	if err := flate.StatelessDeflate(d, in, false, nil); err != nil {
		return nil, false // cannot be: writing never fails
	}
	out, whole := bytes.CutSuffix(d.out, []byte("\x00\x00\xff\xff")) // step 3 of §7.2.1
	if cap(d.in) > deflaterKeep {
		d.in = nil
	}
	if cap(d.out) > deflaterKeep {
		d.out = nil
	}
	return out, whole && len(out) < len(in)
}

// Write implements io.Writer for Deflate.
func (d *Deflater) Write(p []byte) (int, error) {
	d.out = append(d.out, p...)
	return len(p), nil
}
