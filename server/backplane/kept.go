package backplane

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// kept is what a lane has handed to the bus last, in chunks, of which the oldest gives way. The
// zero value keeps nothing. Any goroutine, but keep and step: the queue's.
type kept struct {
	most int // bytes; immutable

	pending atomic.Int32 // len(again)
	bytes   atomic.Int64 // of the chunks

	// Guarded by mu.
	mu     sync.Mutex
	now    time.Duration // of the last tick
	chunks []*chunk      // oldest first
	spare  *chunk        // one that has given way; nil: none
	again  []keptFrame   // asked for, and not sent yet: those from at on
	at     int
	size   int // bytes of those
}

// chunk holds frames, one behind the other.
type chunk struct {
	b      []byte
	frames []keptFrame
	used   time.Duration // when the last frame came
	refs   int           // frames that are asked for
}

// keptFrame is one frame of a link: publishes from first on, before upto.
type keptFrame struct {
	of          *link
	in          *chunk
	first, upto uint64
	start, end  int // in the chunk
}

// keptFor is how long a frame is kept at least when nothing comes after it: who misses it knows
// that long before.
const keptFor = 10 * time.Second

// A chunk holds chunkBytes, or a part of what may be kept when that is little, and as many frames
// as are of frameLeast bytes. A frame that is larger has one of its own.
const (
	chunkBytes  = 256 << 10
	chunksLeast = 8
	frameLeast  = 256
	frameCharge = 48 // bytes that a keptFrame takes
)

// keep keeps a frame.
func (k *kept) keep(f *outgoing) {
	if len(f.frame) > k.most {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.room(len(f.frame))
	start := len(c.b)
	c.b = append(c.b, f.frame...)
	c.frames = append(c.frames, keptFrame{f.of, c, f.first, f.upto, start, len(c.b)})
	c.used = k.now
}

// room returns a chunk with room for a frame. mu is held.
func (k *kept) room(n int) *chunk {
	if last := len(k.chunks) - 1; last >= 0 {
		c := k.chunks[last]
		if len(c.b)+n <= cap(c.b) && len(c.frames) < cap(c.frames) {
			return c
		}
	}
	size := min(chunkBytes, k.most/chunksLeast)
	frames := max(size/frameLeast, 1)
	size = max(size-frames*frameCharge, n)
	charge := size + frames*frameCharge
	for len(k.chunks) > 0 && int(k.bytes.Load())+charge > k.most {
		k.drop()
	}
	c := k.spare
	if k.spare = nil; c == nil || cap(c.b) != size {
		c = &chunk{b: make([]byte, 0, size), frames: make([]keptFrame, 0, frames)}
	}
	k.chunks = append(k.chunks, c)
	k.bytes.Add(c.charge())
	return c
}

func (c *chunk) charge() int64 { return int64(cap(c.b) + cap(c.frames)*frameCharge) }

// drop drops the oldest chunk. mu is held.
func (k *kept) drop() {
	c := k.chunks[0]
	k.chunks[0] = nil
	k.chunks = k.chunks[1:]
	k.bytes.Add(-c.charge())
	if c.refs == 0 { // else a frame of it is still to be sent, or being sent
		clear(c.frames)
		c.b, c.frames = c.b[:0], c.frames[:0]
		k.spare = c
	}
}

// tick drops what is kept no longer.
func (k *kept) tick(now time.Duration) {
	if k.most == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = now
	for len(k.chunks) > 0 && now-k.chunks[0].used > keptFor {
		k.drop()
	}
	if len(k.chunks) == 0 {
		k.spare, k.chunks = nil, nil
	}
}

// again has publishes of a link sent once more, and says which of them do not come: they were never
// sent, or are kept no longer. It changes list.
func (q *queue) again(of *link, list []span) (gone []span) {
	sent := q.reached(of) // before all else: what is sent from here on is kept
	k := &q.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	k.again, k.at = slices.Delete(k.again, 0, k.at), 0
	pending := uint64(0) // those before are on their way, or asked for too early
	for i := range k.again {
		if k.again[i].of == of {
			pending = max(pending, k.again[i].upto)
		}
	}
	lacks := func(first, upto uint64) {
		if first, upto = max(first, pending), min(upto, sent); first < upto {
			gone = append(gone, span{first, upto})
		}
	}
	for _, c := range k.chunks {
		for i := range c.frames {
			f := &c.frames[i]
			if f.of != of || f.first < pending {
				continue
			}
			for len(list) > 0 && list[0].upto <= f.first {
				lacks(list[0].first, list[0].upto)
				list = list[1:]
			}
			if len(list) == 0 {
				break
			}
			if f.upto <= list[0].first {
				continue
			}
			if k.size += f.end - f.start; k.size > k.most {
				k.size -= f.end - f.start
				return gone // the rest is asked for again
			}
			f.in.refs++
			k.again = append(k.again, *f)
			k.pending.Add(1)
			lacks(list[0].first, f.first)
			for len(list) > 0 && list[0].upto <= f.upto {
				list = list[1:]
			}
			if len(list) > 0 {
				list[0].first = max(list[0].first, f.upto)
			}
		}
	}
	for _, s := range list {
		lacks(s.first, s.upto)
	}
	q.call()
	return gone
}

// step sends one of the frames that are asked for, if there is one.
func (k *kept) step(q *queue) (sent bool) {
	if k.pending.Load() == 0 {
		return false
	}
	k.mu.Lock()
	f := k.again[k.at]
	k.mu.Unlock()
	if q.bus.Send(q.lane, f.of.lanes[q.lane].subject, f.in.b[f.start:f.end]) != nil {
		q.failed.Add(1)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	f.in.refs--
	k.size -= f.end - f.start
	k.again[k.at] = keptFrame{}
	if k.at++; k.at == len(k.again) {
		k.again, k.at = k.again[:0], 0
	}
	k.pending.Add(-1)
	return true
}
