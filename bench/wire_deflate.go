//go:build linux

package bench

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
)

// deflateWire carries a protocol in WebSocket frames that the server may compress (RFC 7692). The
// generator's own frames are not: what is measured is what compressing costs.
//
// What a compressed frame is worth is the length of what it holds. To inflate every one would cost
// the generator more than the server pays, so it inflates one of each length, believes the others,
// and inflates one of checked again. All deliveries of a scenario are of one length, so whichever
// compress to the same length are worth the same; were that wrong, the count would not come out
// even. It belongs to one loop, as its wire.
type deflateWire struct {
	framedWire
	worth    map[int]int64 // by the length of the compressed frame
	seen     int           // compressed frames
	inflater inflater
}

// checked is how many compressed frames there are to one whose worth is measured again.
const checked = 256

func newDeflateWire(inner framedWire) *deflateWire {
	return &deflateWire{framedWire: inner, worth: map[int]int64{}}
}

const (
	deflateOffer = "Sec-WebSocket-Extensions: permessage-deflate; " +
		"server_no_context_takeover; client_no_context_takeover\r\n"
	rsv1 = 0x40 // of a compressed message's first frame
)

// errDeclined says that a server does not compress.
var errDeclined = errors.New("the server has declined permessage-deflate: " +
	"a node agrees to it with ws.deflate.enabled")

func (*deflateWire) upgrade() []byte {
	return []byte(upgrade[:len(upgrade)-len("\r\n")] + deflateOffer + "\r\n")
}

// upgraded insists on compression: without it something else would be measured.
func (w *deflateWire) upgraded(in []byte) (done bool, err error) {
	done, err = w.framedWire.upgraded(in)
	if head, _, _ := bytes.Cut(in, []byte("\r\n\r\n")); done &&
		!bytes.Contains(head, []byte("permessage-deflate")) {
		return false, errDeclined
	}
	return done, err
}

// content is what whole frames in in carry; nothing when one cannot be inflated.
func (*deflateWire) content(in []byte) []byte {
	var out []byte
	var i inflater
	for {
		head, size, ok := wsHead(in)
		if !ok || len(in) < head+size {
			return out
		}
		part := in[head : head+size]
		if in[0]&rsv1 != 0 {
			var err error
			if part, err = i.inflate(part); err != nil {
				return nil
			}
		}
		out = append(out, part...)
		in = in[head+size:]
	}
}

func (w *deflateWire) welcomed(in []byte) bool   { return w.inner.welcomed(w.content(in)) }
func (w *deflateWire) subscribed(in []byte) bool { return w.inner.subscribed(w.content(in)) }

// tally counts bytes inside of frames, those of a compressed one when it is whole.
func (w *deflateWire) tally(c *conn, in []byte) (total int64, err error) {
	for len(in) > 0 {
		if c.skip == 0 {
			kept := len(c.head)
			c.head = append(c.head, in[:min(10-kept, len(in))]...)
			head, size, ok := wsHead(c.head)
			if !ok {
				return total, nil // the head goes on in the next read
			}
			if c.skip, c.packed = size, 0; c.head[0]&rsv1 != 0 {
				c.packed = size
			}
			total += w.begin(c)
			in = in[head-kept:]
			c.head = c.head[:0]
			continue
		}
		part := in[:min(c.skip, len(in))]
		c.skip -= len(part)
		in = in[len(part):]
		switch {
		case c.packed == 0:
			total += int64(len(part))
			continue
		case c.opens:
			c.rest = append(c.rest, part...)
		}
		if c.skip == 0 {
			if err := w.measure(c); err != nil {
				return total, err
			}
			total += w.worth[c.packed]
		}
	}
	return total, nil
}

// begin decides whether the frame whose head has arrived is to be inflated, and returns what the
// head is worth.
func (w *deflateWire) begin(c *conn) int64 {
	if c.packed == 0 {
		return w.perFrame
	}
	_, known := w.worth[c.packed]
	c.opens = !known || w.seen%checked == 0
	c.rest = c.rest[:0]
	w.seen++
	return 0
}

// measure inflates c's frame if it was gathered.
func (w *deflateWire) measure(c *conn) error {
	if !c.opens {
		return nil
	}
	plain, err := w.inflater.inflate(c.rest)
	if err != nil {
		return fmt.Errorf("a compressed frame: %w", err)
	}
	worth := int64(len(plain)) + w.perFrame
	if before, known := w.worth[c.packed]; known && before != worth {
		return fmt.Errorf("two compressed frames of %d bytes hold %d and %d",
			c.packed, before, worth)
	}
	w.worth[c.packed] = worth
	return nil
}

// inflater inflates messages, each by itself. The zero value is ready; for one goroutine.
type inflater struct {
	in     bytes.Reader
	reader io.Reader // a flate.Resetter; nil before the first message
	padded []byte
	out    bytes.Buffer
}

// inflate is good until the next call.
func (i *inflater) inflate(p []byte) ([]byte, error) {
	// RFC 7692 §7.2.2, and the end that the standard library wants.
	i.padded = append(append(i.padded[:0], p...), "\x00\x00\xff\xff\x01\x00\x00\xff\xff"...)
	i.in.Reset(i.padded)
	if i.reader == nil {
		i.reader = flate.NewReader(&i.in)
	} else if err := i.reader.(flate.Resetter).Reset(&i.in, nil); err != nil {
		return nil, err
	}
	i.out.Reset()
	_, err := i.out.ReadFrom(i.reader)
	return i.out.Bytes(), err
}

// mbInside is what mbWire carries, without frames.
type mbInside struct{}

// bare takes the frame off.
func bare(framed []byte) []byte {
	if framed == nil {
		return nil
	}
	return framed[mbWire{}.framed(0):]
}

func (mbInside) hello(role, string, int, int) []byte { return nil }

func (mbInside) welcomed(in []byte) bool {
	return bytes.HasPrefix(in, []byte("publish:system.initialize"))
}

func (mbInside) subscribe(r role, pattern string, slot int) []byte {
	return bare(mbWire{}.subscribe(r, pattern, slot))
}

func (mbInside) subscribed(in []byte) bool {
	return bytes.Contains(in, []byte(`"status":"success"`))
}

func (mbInside) appendPublish(dst []byte, topic string, payload []byte) []byte {
	return append(dst, bare(mbWire{}.appendPublish(nil, topic, payload))...)
}

func (mbInside) delivered(topic string, payload int) int {
	return mbWire{}.delivered(topic, payload) - mbWire{}.framed(0)
}
