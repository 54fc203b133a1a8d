package codec

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// UUID is one in binary: its 128 bits in the order in which RFC 9562 writes them, the first in the
// highest bit of Hi. Comparable. Two words, not bytes, so that it passes through registers.
type UUID struct{ Hi, Lo uint64 }

// NewUUID makes a version 4 UUID (RFC 9562 §5.4) of 128 random bits, six of which it replaces by
// version and variant: bits 12–15 of hi and the top two of lo.
func NewUUID(hi, lo uint64) UUID {
	hi, lo = version4(hi, lo)
	return UUID{hi, lo}
}

func version4(hi, lo uint64) (uint64, uint64) {
	return hi&^0xf000 | 0x4000, lo&^(0xc0<<56) | 0x80<<56
}

// ParseUUID reads 8-4-4-4-12 hexadecimal digits in any case. The version nibble and the variant are
// not checked (protocol §2).
func ParseUUID(b []byte) (u UUID, ok bool) {
	w0, w1, w2, w3, ok := uuidWords(b)
	if !ok {
		return UUID{}, false
	}
	return uuidOf(w0, w1, w2, w3), true
}

// uuidOf is the UUID of the digits that uuidWords returns.
func uuidOf(w0, w1, w2, w3 uint64) UUID {
	return UUID{
		uint64(hexValue8(w0))<<32 | uint64(hexValue8(w1)),
		uint64(hexValue8(w2))<<32 | uint64(hexValue8(w3)),
	}
}

// validUUID reports whether ParseUUID takes b.
func validUUID(b []byte) bool {
	_, _, _, _, ok := uuidWords(b)
	return ok
}

// uuidWords returns the digits of a UUID's text, eight to a word, the first in the highest byte. ok
// tells whether they are digits, and its length and hyphens right.
func uuidWords(text []byte) (w0, w1, w2, w3 uint64, ok bool) {
	if len(text) != uuidLen {
		return 0, 0, 0, 0, false
	}
	b := (*[uuidLen]byte)(text)
	w0, w1, w2, w3 = uuidDigits(b)
	ok = b[8] == '-' && b[13] == '-' && b[18] == '-' && b[23] == '-' &&
		hexOnly(w0) && hexOnly(w1) && hexOnly(w2) && hexOnly(w3)
	return w0, w1, w2, w3, ok
}

// uuidDigits is uuidWords for what is known to be good.
func uuidDigits(b *[uuidLen]byte) (w0, w1, w2, w3 uint64) {
	be := binary.BigEndian
	return be.Uint64(b[0:]),
		uint64(be.Uint32(b[9:]))<<32 | uint64(be.Uint32(b[14:])),
		uint64(be.Uint32(b[19:]))<<32 | uint64(be.Uint32(b[24:])),
		be.Uint64(b[28:])
}

// The same byte eight times, times a byte.
const (
	each    = 0x0101010101010101
	highest = 0x80 * each
)

// hexOnly tells whether the eight bytes of x are hexadecimal digits in any case. A sum's highest
// bit says that a byte, which has none itself, is at least the digit in question.
func hexOnly(x uint64) bool {
	digit := (x + (0x80-'0')*each) &^ (x + (0x80-'9'-1)*each)
	lower := x | 0x20*each
	letter := (lower + (0x80-'a')*each) &^ (lower + (0x80-'f'-1)*each)
	return (digit|letter)&^x&highest == highest
}

// hexValue8 is the value of eight hexadecimal digits, the first in the highest byte.
func hexValue8(x uint64) uint32 {
	x = x&(0x0f*each) + x>>6&each*9 // a letter's low bits begin at 1
	x = (x | x>>4) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

// Append appends the 36 lower-case bytes of u. No allocation when dst has room.
func (u UUID) Append(dst []byte) []byte { return appendUUID(dst, u.Hi, u.Lo) }

// Compare orders UUIDs as their texts are.
func (u UUID) Compare(v UUID) int {
	return cmp.Or(cmp.Compare(u.Hi, v.Hi), cmp.Compare(u.Lo, v.Lo))
}

// AppendUUID appends NewUUID(hi, lo), without its detour through memory.
func AppendUUID(dst []byte, hi, lo uint64) []byte {
	hi, lo = version4(hi, lo)
	return appendUUID(dst, hi, lo)
}

func appendUUID(dst []byte, hi, lo uint64) []byte {
	n := len(dst)
	dst = slices.Grow(dst, uuidLen)[:n+uuidLen]
	b := (*[uuidLen]byte)(dst[n:])
	be := binary.BigEndian
	be.PutUint64(b[0:], hexDigits8(uint32(hi>>32)))
	middle := hexDigits8(uint32(hi))
	b[8] = '-'
	be.PutUint32(b[9:], uint32(middle>>32))
	b[13] = '-'
	be.PutUint32(b[14:], uint32(middle))
	middle = hexDigits8(uint32(lo >> 32))
	b[18] = '-'
	be.PutUint32(b[19:], uint32(middle>>32))
	b[23] = '-'
	be.PutUint32(b[24:], uint32(middle))
	be.PutUint64(b[28:], hexDigits8(uint32(lo)))
	return dst
}

// hexDigits8 returns the 8 lower-case digits of v, the first in the highest byte:
// all at once, a byte for each.
func hexDigits8(v uint32) uint64 {
	x := uint64(v)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & (0x0f * each)
	letters := (x + 6*each) >> 4 & each // 1 where the digit is above 9
	return x + '0'*each + letters*('a'-'9'-1)
}

// String returns the 36 lower-case characters of u.
func (u UUID) String() string {
	var b [uuidLen]byte
	return string(u.Append(b[:0]))
}
