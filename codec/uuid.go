package codec

import "encoding/binary"

// UUID is one in binary, big-endian as RFC 9562 writes it. Comparable.
type UUID [16]byte

// NewUUID makes a version 4 UUID (RFC 9562 §5.4) of 128 random bits, six of which
// it replaces by version and variant: bits 12–15 of hi and the top two of lo.
func NewUUID(hi, lo uint64) (u UUID) {
	binary.BigEndian.PutUint64(u[:8], hi&^0xf000|0x4000)
	binary.BigEndian.PutUint64(u[8:], lo&^(0xc0<<56)|0x80<<56)
	return u
}

const hexDigits = "0123456789abcdef"

// hexPair holds the two digits of every byte, the first in the low half.
var hexPair = func() (t [256]uint16) {
	for i := range t {
		t[i] = uint16(hexDigits[i>>4]) | uint16(hexDigits[i&15])<<8
	}
	return t
}()

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
	var b [uuidLen]byte
	u.put(&b)
	return append(dst, b[:]...)
}

func (u *UUID) put(b *[uuidLen]byte) {
	le := binary.LittleEndian
	le.PutUint16(b[0:], hexPair[u[0]])
	le.PutUint16(b[2:], hexPair[u[1]])
	le.PutUint16(b[4:], hexPair[u[2]])
	le.PutUint16(b[6:], hexPair[u[3]])
	b[8] = '-'
	le.PutUint16(b[9:], hexPair[u[4]])
	le.PutUint16(b[11:], hexPair[u[5]])
	b[13] = '-'
	le.PutUint16(b[14:], hexPair[u[6]])
	le.PutUint16(b[16:], hexPair[u[7]])
	b[18] = '-'
	le.PutUint16(b[19:], hexPair[u[8]])
	le.PutUint16(b[21:], hexPair[u[9]])
	b[23] = '-'
	le.PutUint16(b[24:], hexPair[u[10]])
	le.PutUint16(b[26:], hexPair[u[11]])
	le.PutUint16(b[28:], hexPair[u[12]])
	le.PutUint16(b[30:], hexPair[u[13]])
	le.PutUint16(b[32:], hexPair[u[14]])
	le.PutUint16(b[34:], hexPair[u[15]])
}

// String returns the 36 lower-case characters of u.
func (u UUID) String() string {
	var b [uuidLen]byte
	u.put(&b)
	return string(b[:])
}
