package client

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"unicode/utf8"

	"mbserver/codec"
)

// frame is one outbound message. Nothing in it is kept.
type frame struct {
	action  codec.Action
	topic   string
	version string
	id      []byte // 36 bytes or empty
	parent  string // 36 bytes or empty
	timeout uint64 // milliseconds; 0: none
	payload []byte
	here    bool // it is about this connection: no other can take it
}

// size bounds the encoded length.
func (f *frame) size() int { return len(f.topic) + len(f.payload) + 128 }

func (f *frame) append(dst []byte) []byte {
	switch f.action { // A constant costs a store, action.String() a call more.
	case codec.Publish:
		dst = append(dst, "publish:"...)
	case codec.Request:
		dst = append(dst, "request:"...)
	default:
		dst = append(dst, "response:"...)
	}
	dst = append(dst, f.topic...)
	dst = append(dst, ':')
	dst = append(dst, f.version...)
	if len(f.id) > 0 || f.parent != "" || f.timeout > 0 {
		dst = append(dst, ':')
		dst = append(dst, f.id...)
		if f.parent != "" || f.timeout > 0 {
			dst = append(dst, ':')
			dst = append(dst, f.parent...)
		}
		if f.timeout > 0 {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, f.timeout, 10)
		}
	}
	dst = append(dst, '\n')
	return append(dst, f.payload...)
}

// outbox is the bounded buffer between the callers and the goroutine that
// writes. Any goroutine, except run.
type outbox struct {
	// Immutable after newOutbox.
	conn  net.Conn
	ws    bool
	limit int
	wake  chan struct{}   // capacity 1: something waits, or err was set
	waits func(delta int) // counts those that wait for room; may be nil

	// Guarded by mu.
	mu       sync.Mutex
	pending  []byte
	spare    []byte        // the buffer that is not being filled
	scratch  []byte        // a WebSocket message before it is masked
	room     chan struct{} // non-nil while somebody waits for room
	appended uint64        // bytes ever
	written  uint64        // bytes ever
	flushes  []flush       // in order of upto
	err      error         // nothing is taken any more
	left     bool          // of what any connection can take, nothing is taken any more
	corked   bool          // nothing is written yet
}

type flush struct {
	upto uint64
	done chan struct{}
}

func newOutbox(conn net.Conn, ws bool, limit int) *outbox {
	return &outbox{conn: conn, ws: ws, limit: limit, wake: make(chan struct{}, 1)}
}

// send appends f, waiting for room until giveUp is closed (nil: for ever). It
// reports whether f was taken; a false with a nil error means giveUp. Once the
// client has left the connection, the error is errLeft unless f belongs here.
func (o *outbox) send(giveUp <-chan struct{}, f *frame) (bool, error) {
	size := f.size()
	o.mu.Lock()
	for o.err == nil && !o.left && len(o.pending) > 0 && len(o.pending)+size > o.limit {
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		if !o.await(room, giveUp) {
			return false, nil
		}
		o.mu.Lock()
	}
	return o.add(f)
}

func (o *outbox) await(room, giveUp <-chan struct{}) bool {
	if o.waits != nil {
		o.waits(1)
		defer o.waits(-1)
	}
	select {
	case <-room:
		return true
	case <-giveUp:
		return false
	}
}

// idle reports whether nothing waits to be written.
func (o *outbox) idle() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.pending) == 0
}

// force appends f whatever waits: for the few small answers of the reader,
// which must never block.
func (o *outbox) force(f *frame) {
	f.here = true
	o.mu.Lock()
	_, _ = o.add(f) // A lost connection is noticed elsewhere.
}

// add encodes f and releases mu.
func (o *outbox) add(f *frame) (bool, error) {
	if o.err != nil || o.left && !f.here {
		err := o.err
		if err == nil {
			err = errLeft
		}
		o.mu.Unlock()
		return false, err
	}
	first := len(o.pending) == 0
	before := len(o.pending)
	if o.ws {
		o.scratch = f.append(o.scratch[:0])
		kind := codec.Binary
		if utf8.Valid(f.payload) {
			kind = codec.Text
		}
		o.pending = appendMasked(o.pending, kind, o.scratch)
		if cap(o.scratch) > o.limit {
			o.scratch = nil
		}
	} else {
		o.pending = append(o.pending, 0, 0, 0, 0)
		o.pending = f.append(o.pending)
		binary.BigEndian.PutUint32(o.pending[before:], uint32(len(o.pending)-before-4))
	}
	o.appended += uint64(len(o.pending) - before)
	o.mu.Unlock()
	if first {
		o.signal()
	}
	return true, nil
}

// control appends a WebSocket control frame, whatever waits.
func (o *outbox) control(kind codec.Kind, payload []byte) {
	o.mu.Lock()
	before := len(o.pending)
	if o.err == nil {
		o.pending = appendMasked(o.pending, kind, payload)
		o.appended += uint64(len(o.pending) - before)
	}
	o.mu.Unlock()
	o.signal()
}

func appendMasked(dst []byte, kind codec.Kind, payload []byte) []byte {
	var key [4]byte
	binary.LittleEndian.PutUint32(key[:], rand.Uint32())
	return codec.AppendWSFrame(dst, kind, key, payload)
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// flushed returns a channel that is closed when all that was appended so far
// is written or the outbox failed.
func (o *outbox) flushed() <-chan struct{} {
	done := make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil || o.written == o.appended && !o.corked {
		close(done)
		return done
	}
	o.flushes = append(o.flushes, flush{o.appended, done})
	return done
}

// fail makes every later send return err and ends run. The first error stays.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	if o.err == nil {
		o.err = err
		o.freeRoom()
		for _, f := range o.flushes {
			close(f.done)
		}
		o.flushes = nil
	}
	o.mu.Unlock()
	o.signal()
}

// leave makes o refuse, with errLeft, what another connection can take.
func (o *outbox) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left = true
	o.freeRoom()
}

// cork keeps back what is appended from now on; it is written when corked is false.
func (o *outbox) cork(corked bool) {
	o.mu.Lock()
	o.corked = corked
	if !corked {
		o.tellFlushed()
	}
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *outbox) freeRoom() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// run writes until the connection fails or fail is called. One goroutine.
func (o *outbox) run() error {
	for {
		batch, err := o.take()
		if err != nil {
			return err
		}
		if batch == nil {
			<-o.wake
			continue
		}
		_, err = o.conn.Write(batch)
		if err != nil {
			return err
		}
		o.wrote(batch)
	}
}

// take swaps the buffers; nil when there is nothing to write.
func (o *outbox) take() ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return nil, o.err
	}
	if len(o.pending) == 0 || o.corked {
		return nil, nil
	}
	batch := o.pending
	o.pending, o.spare = o.spare[:0], nil
	o.freeRoom()
	return batch, nil
}

func (o *outbox) wrote(batch []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if cap(batch) <= 2*o.limit {
		o.spare = batch[:0]
	}
	o.written += uint64(len(batch))
	o.tellFlushed()
}

func (o *outbox) tellFlushed() {
	n := 0
	for n < len(o.flushes) && o.flushes[n].upto <= o.written {
		close(o.flushes[n].done)
		n++
	}
	o.flushes = o.flushes[n:]
}
