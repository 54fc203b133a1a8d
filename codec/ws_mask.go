package codec

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// unmask xors p in place with key (RFC 6455 §5.3); offset is p's place in the frame's payload.
// Long payloads take the vector code of gobwas/ws, short ones, where a call and its set-up cost
// more than the work, 8 bytes at a time.
func unmask(p []byte, key [4]byte, offset int) {
	if len(p) >= 128 {
		ws.Cipher(p, key, offset&3)
		return
	}
	k := binary.LittleEndian.Uint32(key[:])
	if turn := 8 * (uint(offset) & 3); turn != 0 {
		k = k>>turn | k<<(32-turn)
	}
	k2 := uint64(k)<<32 | uint64(k)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^k2)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(k2)
		k2 >>= 8
	}
}
