package codec

import (
	"math"
	"strconv"
)

// Kind says what one inbound message is.
type Kind uint8

const (
	None       Kind = iota // no whole message yet
	Binary                 // a TCP frame, or a WebSocket binary message
	Text                   // a WebSocket text message: valid UTF-8
	Ping                   // WebSocket only, at most 125 bytes
	Pong                   // WebSocket only, at most 125 bytes
	Close                  // WebSocket only: empty, or a code and a reason that were checked
	Compressed             // a WSDeflateDecoder has a message to inflate; there is no data yet
	Fragment               // WebSocket only: a fragment has ended, its message has not; no data

	deflatedBinary // a Binary message that is compressed, between a WSDecoder and what inflates it
	deflatedText   // a Text message that is; not checked
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case None:
		return "none"
	case Binary:
		return "binary"
	case Text:
		return "text"
	case Ping:
		return "ping"
	case Pong:
		return "pong"
	case Close:
		return "close"
	case Compressed:
		return "compressed"
	case Fragment:
		return "fragment"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Message is one whole message. Data aliases what was handed to Next or the decoder's own buffer:
// valid until the next call of Next or Release.
type Message struct {
	Kind Kind
	Data []byte
}

// Decoder cuts a byte stream into messages: a pure step, one per connection,
// used by one goroutine at a time.
type Decoder interface {
	// Next takes the bytes that arrived, or the rest of the call before, and returns one message
	// and what is left. m.Kind == None: every byte was taken and more are needed. Call it until it
	// says None, also with an empty rest: that call gives back the buffer the last message lay in.
	// It may change the bytes of in (unmasking) and keeps no reference to them. After an error the
	// framing is lost: every later call returns the same error.
	Next(in []byte) (m Message, rest []byte, err *FrameError)
	// Allow changes how many bytes a frame may have whose length is not known yet.
	Allow(maxFrame int)
	// Buffered is the capacity in bytes held for a partial frame or message.
	Buffered() int
	// Release gives pooled memory back. The decoder is not used again.
	Release()
}

// FrameError says that the framing is lost: answer the sender and close.
type FrameError struct {
	Reason    string // a sentence for the sender
	CloseCode uint16 // WebSocket close code (RFC 6455 §7.4.1), also set for TCP
	TooLarge  bool   // over the largest frame allowed (protocol §1)
	Length    uint64 // bytes announced, when TooLarge
}

func (e *FrameError) Error() string { return e.Reason }

// Close codes that decoders and nodes give (RFC 6455 §7.4.1).
const (
	CloseNormal        = 1000
	CloseGoingAway     = 1001
	CloseProtocolError = 1002
	CloseInvalidData   = 1007
	ClosePolicy        = 1008
	CloseTooLarge      = 1009
	CloseInternal      = 1011
	CloseTryAgainLater = 1013
)

// uint32Of is n, or the largest there is.
func uint32Of(n int) uint32 { return uint32(min(uint64(max(n, 0)), math.MaxUint32)) }

func tooLarge(length uint64, limit uint32) *FrameError {
	return &FrameError{
		Reason: "message of " + strconv.FormatUint(length, 10) +
			" bytes exceeds the largest allowed, " + strconv.FormatUint(uint64(limit), 10),
		CloseCode: CloseTooLarge,
		TooLarge:  true,
		Length:    length,
	}
}
