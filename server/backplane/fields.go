package backplane

import (
	"encoding/binary"
	"errors"
)

// A frame is a byte that says which form it has, and then fields: a tag and a length, both as
// uvarints, and the value. A field whose tag is not known is passed over, so that a later version
// may say more.
const form = 1

var (
	errForm  = errors.New("a frame of another form")
	errShort = errors.New("a frame that ends inside a field")
	errValue = errors.New("a field with a value that it cannot have")
)

// appendBytes appends a field.
func appendBytes[T string | []byte](b []byte, tag uint64, value T) []byte {
	b = binary.AppendUvarint(b, tag)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// appendNumber appends a field whose value is a uvarint.
func appendNumber(b []byte, tag, value uint64) []byte {
	var v [binary.MaxVarintLen64]byte
	return appendBytes(b, tag, v[:binary.PutUvarint(v[:], value)])
}

// fieldSize is more than a field takes beside its value, in bytes.
const fieldSize = 2 * binary.MaxVarintLen64

// next cuts the first field off b. value aliases b. No bytes left: tag is 0.
func next(b []byte) (tag uint64, value, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, nil, nil
	}
	tag, n := binary.Uvarint(b)
	if n <= 0 || tag == 0 {
		return 0, nil, nil, errShort
	}
	size, m := binary.Uvarint(b[n:])
	if m <= 0 || size > uint64(len(b)-n-m) {
		return 0, nil, nil, errShort
	}
	b = b[n+m:]
	return tag, b[:size], b[size:], nil
}

// each calls f for every field of b until it gives an error.
func each(b []byte, f func(tag uint64, value []byte) error) error {
	for {
		tag, value, rest, err := next(b)
		if err != nil || tag == 0 {
			return err
		}
		if err := f(tag, value); err != nil {
			return err
		}
		b = rest
	}
}

// eachText is each with values as texts, which all share one copy of b.
func eachText(b []byte, f func(tag uint64, value []byte, text string) error) error {
	all := string(b)
	return each(b, func(tag uint64, value []byte) error {
		at := cap(b) - cap(value) // both end where the same array does
		return f(tag, value, all[at:at+len(value)])
	})
}

// number reads a value that is a uvarint and nothing else.
func number(value []byte) (uint64, error) {
	v, n := binary.Uvarint(value)
	if n <= 0 || n != len(value) {
		return 0, errValue
	}
	return v, nil
}

// numberInto is number for a field of a struct.
func numberInto(to *uint64, value []byte) (err error) {
	*to, err = number(value)
	return err
}
