package codec

// WSDeflateDecoder is a WSDecoder for a connection that has agreed on permessage-deflate with
// no context takeover (RFC 7692): each message may be compressed, and is so by itself.
//
// A compressed message is gathered as it is, and inflated when all of it is there, step by step:
// Next says Compressed, its caller calls Inflate when it has the time, and Next again. So whoever
// has a budget decides how much is inflated at a time, and other messages of the connection wait.
//
// Between Compressed and the message one byte of input that was taken already stands in rest: what
// is left to do is input that is left over, and can be kept like any other.
type WSDeflateDecoder struct {
	ws   WSDecoder
	pool *Inflaters
	work *inflater // nil: no message is being inflated, or out
}

var _ Decoder = (*WSDeflateDecoder)(nil)

// NewWSDeflateDecoder returns a decoder for messages of at most maxFrame bytes, inflated, which
// takes its inflaters from pool. client is the side that decodes.
func NewWSDeflateDecoder(maxFrame int, client bool, pool *Inflaters) *WSDeflateDecoder {
	d := &WSDeflateDecoder{pool: pool}
	d.ws = WSDecoder{max: uint32Of(maxFrame), client: client, deflate: true}
	return d
}

// Allow implements Decoder.
func (d *WSDeflateDecoder) Allow(maxFrame int) { d.ws.Allow(maxFrame) }

// mayCompress says whether a frame whose first byte, with a reserved bit, is b may be the beginning
// of a compressed message. RFC 7692 §6: RSV1 is the "Per-Message Compressed" bit; §6.1: it is set
// "for the first frame of a message", and "MUST NOT be set" in control frames and in the others of
// a message.
func (d *WSDecoder) mayCompress(b byte) bool {
	op := b & 0x0f
	return d.deflate && b&wsRSV == wsRSV1 && (op == 1 || op == 2)
}

// longest is how many bytes a message may have as it comes, in which a frame begins with b. What
// does not become smaller grows: by five bytes for each block that is stored, by an eighth with
// codes that know nothing of what they encode (RFC 1951 §3.2.6).
func (d *WSDecoder) longest(b byte) uint64 {
	n := uint64(d.max)
	if b&wsRSV1 != 0 || d.kind >= deflatedBinary {
		n += n/8 + 64
	}
	return n
}

// Next implements Decoder. After Compressed call Inflate, once, and Next with all of rest, which is
// never empty then.
func (d *WSDeflateDecoder) Next(in []byte) (m Message, rest []byte, err *FrameError) {
	if d.work != nil {
		if d.work.lent {
			d.reclaim()
		} else if m, err = d.inflated(); m.Kind == Compressed || len(in) == 0 {
			return m, in, err
		} else {
			return m, in[1:], err
		}
	}
	m, rest, err = d.ws.Next(in)
	if m.Kind < deflatedBinary {
		return m, rest, err
	}
	d.work = d.pool.take(m, d.ws.max)
	if d.ws.lent {
		d.ws.reclaim()
	}
	return Message{Kind: Compressed}, in[len(in)-len(rest)-1:], nil
}

// Inflate does one step of what Compressed announced, and returns how many bytes it read and made:
// some 10 KiB at most and some 64. It changes nothing when nothing was announced.
func (d *WSDeflateDecoder) Inflate() (read, made int) {
	if d.work == nil || d.work.done {
		return 0, 0
	}
	return d.work.step()
}

// inflated returns the message that is being inflated when all of it is.
func (d *WSDeflateDecoder) inflated() (Message, *FrameError) {
	w := d.work
	if !w.done {
		return Message{Kind: Compressed}, nil
	}
	if err := w.err; err != nil {
		d.pool.Failed++
		d.ws.abandon(err)
		d.reclaim()
		return Message{}, err
	}
	d.pool.Messages++
	d.pool.Read += uint64(w.size)
	d.pool.Made += uint64(filled(w.made))
	return w.message(), nil
}

func (d *WSDeflateDecoder) reclaim() {
	d.pool.put(d.work)
	d.work = nil
}

// Buffered implements Decoder: while a message is inflated that needs an inflater too.
func (d *WSDeflateDecoder) Buffered() int {
	n := d.ws.Buffered()
	if d.work != nil {
		n += d.work.held()
	}
	return n
}

// Release implements Decoder.
func (d *WSDeflateDecoder) Release() {
	d.ws.Release()
	if d.work != nil {
		d.reclaim()
	}
}
