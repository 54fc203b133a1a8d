package codec

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"

	"github.com/klauspost/compress/flate"
	"github.com/valyala/bytebufferpool"
)

const (
	// inflaterBytes is what an inflater holds beside its buffers; measured: 41 to 45 KB.
	inflaterBytes = 45 << 10

	// inflatersKeep is how many of them a pool keeps, with buffers of at most inflaterKeep bytes.
	inflatersKeep = 4
	inflaterKeep  = 32 << 10

	// stepMade is how many bytes a step makes until it ends, stepRead how many it reads at the
	// most, or a little more. Reading can take long and make nothing: a block may consist of its
	// codes. Measured: 110 ns a byte at the worst, 1 to 7 as it usually is.
	stepMade = 32 << 10
	stepRead = 8 << 10

	// windowLen is how far back a DEFLATE stream may refer (RFC 1951 §2).
	windowLen = 32 << 10
)

// inflateTail follows the bytes of a message: what its sender has cut off (RFC 7692 §7.2.2), which
// ends an empty block, and an empty last block, by which a message that is whole is known from one
// that is not.
const (
	inflateTail = "\x00\x00\xff\xff" + lastBlock
	lastBlock   = "\x01\x00\x00\xff\xff"
)

// Inflaters are what the connections of one goroutine inflate messages with: as many as are at it
// at a time, not one for each. The zero value is ready. They are that goroutine's, and so are their
// counts.
type Inflaters struct {
	// What became of compressed messages, as they came and inflated; Failed are those that were
	// not DEFLATE, not text, or too large.
	Messages, Read, Made, Failed uint64

	spare []*inflater
}

// take returns an inflater for a message that a WSDecoder has put together. Its data is copied.
func (s *Inflaters) take(m Message, most uint32) (w *inflater) {
	if n := len(s.spare); n > 0 {
		w = s.spare[n-1]
		s.spare = s.spare[:n-1]
	} else {
		w = new(inflater)
		w.reader = flate.NewReader(&w.source).(resetter)
	}
	w.begin(m, int(most))
	return w
}

// put takes an inflater back.
func (s *Inflaters) put(w *inflater) {
	w.end()
	if len(s.spare) < inflatersKeep && cap(w.in) <= inflaterKeep {
		s.spare = append(s.spare, w)
	}
}

// resetter is what flate's readers are.
type resetter interface {
	io.Reader
	flate.Resetter
}

// inflater inflates one message, in steps.
//
// The reader reads on by itself until it has made something. A message of up to stepRead bytes it
// may have all at once; a larger one it reads through chunks, and where a step has to end inside of
// its reading, that happens in a coroutine, which stands still until the next step.
type inflater struct {
	reader resetter
	in     []byte       // the message as it came, and inflateTail
	source bytes.Reader // of in
	chunks *bufio.Reader
	resume func() (struct{}, bool) // nil: there is no coroutine
	stop   func()
	pause  func(struct{}) bool // within the coroutine

	made *bytebufferpool.ByteBuffer
	most int // bytes that it may inflate to
	size int // of the message as it came
	kind Kind
	text utf8State
	done bool
	lent bool // the message is out
	err  *FrameError
}

func (w *inflater) begin(m Message, most int) {
	w.in = append(append(w.in[:0], m.Data...), inflateTail...)
	w.source.Reset(w.in)
	w.size, w.most, w.kind, w.text = len(m.Data), most, m.Kind-(deflatedBinary-Binary), utf8Start
	w.done, w.lent, w.err = false, false, nil
	if w.size == 0 {
		// An empty message should be one byte (RFC 7692 §7.2.3.6); of senders that only cut the
		// tail off what their library gives, some send none.
		w.finish(nil)
		return
	}
	_ = w.reader.Reset(w.from(), nil) // cannot fail
}

// from is what the reader reads.
func (w *inflater) from() io.Reader {
	if len(w.in) <= stepRead {
		return &w.source
	}
	if w.chunks == nil {
		w.chunks = bufio.NewReaderSize(nil, stepRead/2)
	}
	if w.resume == nil {
		w.chunks.Reset(chunked{w})
		w.resume, w.stop = iter.Pull(w.run)
	}
	return w.chunks
}

// run inflates the whole message as a coroutine.
func (w *inflater) run(pause func(struct{}) bool) {
	w.pause = pause
	for w.inflate(); !w.done && pause(struct{}{}); w.inflate() {
	}
}

// chunked is the source of a large message: before each piece the step ends.
type chunked struct{ *inflater }

// errStopped ends a coroutine whose message is not wanted any more.
var errStopped = errors.New("stopped")

// Read implements io.Reader.
func (c chunked) Read(p []byte) (int, error) {
	if c.source.Len() < len(c.in) && !c.pause(struct{}{}) {
		return 0, errStopped
	}
	return c.source.Read(p[:min(len(p), stepRead/2)])
}

// step does a part of the work, and returns how many bytes it read and made.
func (w *inflater) step() (read, made int) {
	left, had := w.source.Len(), filled(w.made)
	if w.resume != nil {
		w.resume()
	} else {
		w.inflate()
	}
	return left - w.source.Len(), filled(w.made) - had
}

// inflate inflates until that has made enough for one step, or the message is done.
func (w *inflater) inflate() {
	for from := filled(w.made); !w.done && filled(w.made)-from < stepMade; {
		n, err := w.reader.Read(w.room())
		if n > 0 && !w.take(n) {
			return
		}
		switch {
		case err == nil:
		case err == io.EOF && w.more():
			// A block with BFINAL set ends at a byte's boundary, and "the next DEFLATE block
			// follows" (RFC 7692 §7.2.1). Going on takes as long as making some KiB.
			_ = w.reader.Reset(w.from(), w.window())
			return
		case err == io.EOF:
			w.finish(nil)
		default:
			w.finish(&FrameError{
				Reason: "a compressed message cannot be inflated", CloseCode: CloseInvalidData,
			})
		}
	}
}

// more says whether what follows a block with BFINAL set belongs to the message. It does not when
// that was the one of inflateTail, when it was the message's own last one, which the tail has ended
// too, or when it ended the message without its tail.
func (w *inflater) more() bool {
	left := w.source.Len()
	if w.resume != nil {
		left += w.chunks.Buffered()
	}
	return left != 0 && left != len(lastBlock) && left != len(inflateTail)
}

// window is what the rest of the message may refer to.
func (w *inflater) window() []byte {
	if w.made == nil {
		return nil
	}
	return w.made.B[max(len(w.made.B)-windowLen, 0):]
}

// room returns where the next bytes go: one more than there may be, if so many are there already.
func (w *inflater) room() []byte {
	have := filled(w.made)
	if have == held(w.made) {
		w.grow(have)
	}
	return w.made.B[have:min(cap(w.made.B), w.most+1)]
}

// grow makes room for more. It doubles, and begins with what messages usually inflate to.
func (w *inflater) grow(have int) {
	more := 2 * have
	if have == 0 {
		more = min(4*w.size, stepMade)
	}
	b := getBuffer(min(more, w.most+1))
	if w.made != nil {
		b.B = append(b.B, w.made.B...)
		putBuffer(w.made)
	}
	w.made = b
}

// take takes n bytes that were made, and says whether the message may go on.
func (w *inflater) take(n int) bool {
	have := len(w.made.B)
	w.made.B = w.made.B[:have+n]
	if have+n > w.most {
		w.finish(tooLarge(uint64(have+n), uint32Of(w.most)))
		return false
	}
	if w.kind == Text && !w.text.feed(w.made.B[have:]) {
		w.finish(&FrameError{Reason: "text is not UTF-8", CloseCode: CloseInvalidData})
		return false
	}
	return true
}

// finish ends the message, with an error or without.
func (w *inflater) finish(err *FrameError) {
	if err == nil && w.kind == Text && !w.text.complete() {
		err = &FrameError{Reason: "text ends inside a character", CloseCode: CloseInvalidData}
	}
	w.done, w.err = true, err
}

// message hands the message out.
func (w *inflater) message() Message {
	w.lent = true
	if w.made == nil {
		return Message{Kind: w.kind, Data: w.in[:0:0]}
	}
	n := len(w.made.B)
	return Message{Kind: w.kind, Data: w.made.B[:n:n]}
}

// end gives back what belongs to the message.
func (w *inflater) end() {
	if w.resume != nil {
		w.stop()
		w.resume, w.stop, w.pause = nil, nil, nil
	}
	putBuffer(w.made)
	w.made = nil
}

// held is what it holds, in bytes.
func (w *inflater) held() int { return inflaterBytes + cap(w.in) + held(w.made) }

// beginning is how many bytes Beginning inflates: more than a header has.
const beginning = 1 << 10

// Beginning returns the beginning of the message of which frame is the beginning, without its
// framing when it was compressed; a frame that was not is returned as it is. It is for what is
// rarely needed: it allocates.
func Beginning(frame []byte) []byte {
	if len(frame) < 2 || frame[0]&wsRSV1 == 0 {
		return frame
	}
	head := 2
	switch frame[1] & 0x7f {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	plain := make([]byte, beginning)
	n, _ := io.ReadFull(flate.NewReader(bytes.NewReader(frame[min(head, len(frame)):])), plain)
	return plain[:n]
}
