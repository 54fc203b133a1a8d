package codec

import (
	"math/bits"

	"github.com/valyala/bytebufferpool"
)

// Buffers for partial frames, pooled by size. One pool for all sizes would hand a peer that sent
// one byte a buffer as large as the usual message; with a pool per power of two a buffer is at most
// twice what arrived.
const (
	minBufferBits = 7  // 128 bytes: a control frame fits
	maxBufferBits = 20 // 1 MiB; larger ones are left to the garbage collector
)

var bufferPools [maxBufferBits - minBufferBits + 1]bytebufferpool.Pool

// bufferClass is the index of the smallest pool whose buffers hold n bytes;
// past the last pool when none does.
func bufferClass(n int) int {
	return max(bits.Len(uint(max(n, 1)-1)), minBufferBits) - minBufferBits
}

// getBuffer returns an empty buffer that holds n bytes and not more than twice that.
func getBuffer(n int) *bytebufferpool.ByteBuffer {
	class := bufferClass(n)
	if class >= len(bufferPools) {
		return &bytebufferpool.ByteBuffer{B: make([]byte, 0, n)}
	}
	b := bufferPools[class].Get()
	if cap(b.B) < n {
		b.B = make([]byte, 0, 1<<(class+minBufferBits))
	}
	return b
}

// putBuffer gives b back to the pool of its capacity. nil is allowed.
func putBuffer(b *bytebufferpool.ByteBuffer) {
	if b == nil {
		return
	}
	class := bufferClass(cap(b.B))
	if class >= len(bufferPools) || cap(b.B) != 1<<(class+minBufferBits) {
		return
	}
	// The pool tunes itself by lengths: show it the capacity, so that it never comes to think this
	// size unusual and drops it.
	b.B = b.B[:cap(b.B)]
	bufferPools[class].Put(b)
}

// appendBuffer appends p to b, which may be nil, and returns the buffer that holds both. Growing at
// least doubles it, so that many small pieces stay linear, but never beyond total bytes, the most
// it will ever hold.
func appendBuffer(b *bytebufferpool.ByteBuffer, p []byte, total int) *bytebufferpool.ByteBuffer {
	if len(p) == 0 {
		return b
	}
	if b == nil {
		b = getBuffer(len(p))
	} else if need := len(b.B) + len(p); need > cap(b.B) {
		grown := getBuffer(max(need, min(2*cap(b.B), total)))
		grown.B = append(grown.B, b.B...)
		putBuffer(b)
		b = grown
	}
	b.B = append(b.B, p...)
	return b
}

// held is the capacity of b, which may be nil.
func held(b *bytebufferpool.ByteBuffer) int {
	if b == nil {
		return 0
	}
	return cap(b.B)
}

// filled is the number of bytes in b, which may be nil.
func filled(b *bytebufferpool.ByteBuffer) int {
	if b == nil {
		return 0
	}
	return len(b.B)
}
