package event

import (
	"encoding/binary"
	"math"
)

// Bounds of a Log.
const (
	Most     = 100      // events that it keeps
	textMax  = 96       // bytes of a text; the rest is left out
	bytesMin = 64       // of a buffer
	bytesAdd = 1 << 10  // by which it grows at a time; below that it doubles
	bytesMax = 12 << 10 // a little more than Most with the longest texts
)

// Event is one thing that has happened to a connection.
type Event struct {
	At     int64  // Unix ms
	Kind   Kind   //
	Detail uint8  // which of its kind: a scope, a reason, a code
	Count  uint32 // how often, one after the other
	Span   uint32 // ms from the first of those to the last; Ongoing: it goes on
	Number uint32 // that the kind speaks of: a limit
	Text   string // a pattern, a name, a reason
}

// Ongoing is the span of what has not ended.
const Ongoing = math.MaxUint32

// Log is the last events of one connection, the older ones of which give way. They lie one behind
// the other in one buffer without pointers: what a connection costs is what that takes. The zero
// value is empty, and takes nothing. It belongs to one goroutine.
type Log struct {
	buf  []byte
	from int    // in buf: the oldest that is kept
	kept int    // how many are
	next uint32 // the number of the one that comes next: since the first
}

// Layout of an event in the buffer: when and what, three numbers, a text with its length before.
const (
	atCount  = 8
	atSpan   = 12
	atNumber = 16
	atLength = 20
	headSize = 21
)

func (e *Event) size() int { return headSize + min(len(e.Text), textMax) }

// sizeAt is the size of the event at that place.
func (l *Log) sizeAt(at int) int { return headSize + int(l.buf[at+atLength]) }

// Append adds an event and returns its number. Where the buffer has no room it is made larger, if
// that may be, else the oldest give way; what finds no room even so is not kept.
func (l *Log) Append(e *Event, mayGrow bool) (number uint32) {
	number = l.next
	l.next++
	for l.kept >= Most {
		l.dropFirst()
	}
	size := e.size()
	for len(l.buf)+size > cap(l.buf) {
		live := l.buf[l.from:]
		switch {
		case mayGrow && len(live)+size > cap(l.buf) && cap(l.buf) < bytesMax:
			more := max(min(cap(l.buf), bytesAdd), bytesMin, len(live)+size-cap(l.buf))
			bigger := make([]byte, len(live), min(cap(l.buf)+more, bytesMax))
			copy(bigger, live)
			l.buf, l.from = bigger, 0
		case l.from > 0:
			l.buf = l.buf[:copy(l.buf, live)]
			l.from = 0
		case l.kept > 0:
			l.dropFirst()
		default:
			return number
		}
	}
	at := len(l.buf)
	l.buf = l.buf[:at+headSize]
	b := l.buf[at:]
	binary.LittleEndian.PutUint64(b, uint64(e.At)<<16|uint64(e.Kind)<<8|uint64(e.Detail))
	binary.LittleEndian.PutUint32(b[atCount:], e.Count)
	binary.LittleEndian.PutUint32(b[atSpan:], e.Span)
	binary.LittleEndian.PutUint32(b[atNumber:], e.Number)
	text := e.Text[:min(len(e.Text), textMax)]
	b[atLength] = byte(len(text))
	l.buf = append(l.buf, text...)
	l.kept++
	return number
}

// dropFirst lets the oldest give way. There must be one.
func (l *Log) dropFirst() {
	l.from += l.sizeAt(l.from)
	if l.kept--; l.kept == 0 {
		l.buf, l.from = l.buf[:0], 0
	}
}

// Change sets what has become of the event with that number, if it is still kept.
func (l *Log) Change(number, count, span uint32) {
	behind := l.next - number // 1: it is the last
	if behind == 0 || behind > uint32(l.kept) {
		return
	}
	at := l.from
	for range uint32(l.kept) - behind {
		at += l.sizeAt(at)
	}
	binary.LittleEndian.PutUint32(l.buf[at+atCount:], count)
	binary.LittleEndian.PutUint32(l.buf[at+atSpan:], span)
}

// Held is what it takes, in bytes.
func (l *Log) Held() int { return cap(l.buf) }

// Copy returns the events in as few bytes as they need, for Read, and how many older ones have
// given way.
func (l *Log) Copy() (events []byte, forgotten int) {
	return append([]byte(nil), l.buf[l.from:]...), int(l.next) - l.kept
}

// Read returns the events of a copy, the oldest first.
func Read(copied []byte) (all []Event) {
	for len(copied) > 0 {
		size := headSize + int(copied[atLength])
		b := copied[:size]
		copied = copied[size:]
		first := binary.LittleEndian.Uint64(b)
		all = append(all, Event{
			At: int64(first >> 16), Kind: Kind(first >> 8 & 0xff), Detail: uint8(first),
			Count:  binary.LittleEndian.Uint32(b[atCount:]),
			Span:   binary.LittleEndian.Uint32(b[atSpan:]),
			Number: binary.LittleEndian.Uint32(b[atNumber:]),
			Text:   string(b[headSize:]),
		})
	}
	return all
}
