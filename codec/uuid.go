package codec

import (
	"encoding/binary"
	"slices"
)

// UUID is one in binary, big-endian as RFC 9562 writes it. Comparable.
type UUID [16]byte

// NewUUID makes a version 4 UUID (RFC 9562 §5.4) of 128 random bits, six of which
// it replaces by version and variant: bits 12–15 of hi and the top two of lo.
func NewUUID(hi, lo uint64) (u UUID) {
	hi, lo = version4(hi, lo)
	binary.BigEndian.PutUint64(u[:8], hi)
	binary.BigEndian.PutUint64(u[8:], lo)
	return u
}

func version4(hi, lo uint64) (uint64, uint64) { return hi&^0xf000 | 0x4000, lo&^(0xc0<<56) | 0x80<<56 }

const hexDigits = "0123456789abcdef"

// hexValue is a digit's value; 0xff for what is none.
var hexValue = func() (t [256]uint8) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range 16 {
		t[hexDigits[i]] = uint8(i)
	}
	for c := byte('A'); c <= 'F'; c++ {
		t[c] = c - 'A' + 10
	}
	return t
}()

// ParseUUID reads 8-4-4-4-12 hexadecimal digits in any case. The version nibble
// and the variant are not checked (protocol §2).
func ParseUUID(b []byte) (u UUID, ok bool) {
	if len(b) != uuidLen || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return UUID{}, false
	}
	var bad uint8
	for i, at := range uuidPairs {
		hi, lo := hexValue[b[at]], hexValue[b[at+1]]
		bad |= hi | lo
		u[i] = hi<<4 | lo&15
	}
	if bad&0xf0 != 0 {
		return UUID{}, false
	}
	return u, true
}

// uuidPairs is where each byte's two digits stand.
var uuidPairs = [16]uint8{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// validUUID reports whether ParseUUID takes b.
func validUUID(b []byte) bool {
	if len(b) != uuidLen || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return false
	}
	b = b[:uuidLen:uuidLen]
	var bad uint8
	for _, c := range b[0:8] {
		bad |= hexValue[c]
	}
	for i := 9; i < 13; i++ {
		bad |= hexValue[b[i]] | hexValue[b[i+5]] | hexValue[b[i+10]]
	}
	for _, c := range b[24:36] {
		bad |= hexValue[c]
	}
	return bad&0xf0 == 0
}

// Append appends the 36 lower-case bytes of u. No allocation when dst has room.
func (u UUID) Append(dst []byte) []byte {
	be := binary.BigEndian
	return appendUUID(dst, be.Uint64(u[:8]), be.Uint64(u[8:]))
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

// hexDigits8 returns the 8 lower-case digits of v, the first in the highest byte: all at once, a byte for each.
func hexDigits8(v uint32) uint64 {
	const each = 0x0101010101010101
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
