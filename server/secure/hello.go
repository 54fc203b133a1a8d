package secure

import "errors"

// Hello looks at the first flight of a client while that comes in: a handshake is begun when its
// ClientHello is there, and not for less. The zero value has seen nothing.
type Hello struct {
	at    int     // where the next record begins
	first [4]byte // of the handshake message: its type and its length
	have  int     // bytes of the message in the records before
}

// HelloMax is how many bytes the first flight may have. Browsers send up to 2 KiB.
const HelloMax = 16 << 10

// ErrNotTLS says that a client does not speak TLS.
var ErrNotTLS = errors.New("it does not speak TLS")

// What a first flight is made of (RFC 8446 §4, §5.1).
const (
	recordHandshake = 22
	recordMajor     = 3
	recordMax       = 1 << 14
	clientHello     = 1
)

// Complete says whether flight, all that has come, has a whole ClientHello. What was looked at
// before is not looked at again. An error is ErrNotTLS or ErrTooLong.
func (h *Hello) Complete(flight []byte) (bool, error) {
	for {
		record := flight[h.at:]
		if len(record) > 0 && record[0] != recordHandshake ||
			len(record) > 1 && record[1] != recordMajor {
			return false, ErrNotTLS
		}
		if len(record) < recordHead {
			return false, tooLong(len(flight))
		}
		size := int(record[3])<<8 + int(record[4])
		if size == 0 || size > recordMax {
			return false, ErrNotTLS
		}
		if len(record) < recordHead+size {
			return false, tooLong(len(flight))
		}
		if h.have < len(h.first) {
			copy(h.first[h.have:], record[recordHead:recordHead+size])
		}
		h.have += size
		h.at += recordHead + size
		if h.first[0] != clientHello {
			return false, ErrNotTLS
		}
		message := len(h.first) + int(h.first[1])<<16 + int(h.first[2])<<8 + int(h.first[3])
		if h.have < len(h.first) {
			continue
		}
		if message > HelloMax {
			return false, ErrTooLong
		}
		if h.have >= message {
			return true, nil
		}
	}
}

func tooLong(bytes int) error {
	if bytes >= HelloMax {
		return ErrTooLong
	}
	return nil
}
