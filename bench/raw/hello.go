package raw

import "encoding/binary"

// Roles of a connection.
const (
	Publisher  = 'P' // what it writes goes to all subscribers of its channel
	Subscriber = 'S'
	Requester  = 'Q' // what it writes goes to one responder of its channel
	Responder  = 'R' // writes to the requester whose slot is the frame's first 4 bytes, big-endian
)

// Hello is the first thing a client says; the hub answers with one byte.
type Hello struct {
	Role    byte
	Slot    uint32 // of a requester, unique
	Frame   uint32 // bytes of every frame of the connection; 0 < Frame
	Channel string // at most 255 bytes
}

const helloHead = 1 + 4 + 4 + 1

// AppendHello appends the wire form of h.
func AppendHello(dst []byte, h Hello) []byte {
	dst = append(dst, h.Role)
	dst = binary.BigEndian.AppendUint32(dst, h.Slot)
	dst = binary.BigEndian.AppendUint32(dst, h.Frame)
	dst = append(dst, byte(len(h.Channel)))
	return append(dst, h.Channel...)
}

// parseHello returns the hello that in begins with and its length, 0 when more bytes are needed.
func parseHello(in []byte) (h Hello, n int) {
	if len(in) < helloHead {
		return h, 0
	}
	n = helloHead + int(in[helloHead-1])
	if len(in) < n {
		return h, 0
	}
	return Hello{
		Role: in[0], Slot: binary.BigEndian.Uint32(in[1:]), Frame: binary.BigEndian.Uint32(in[5:]),
		Channel: string(in[helloHead:n]),
	}, n
}
