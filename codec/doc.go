// Package codec turns bytes into messages and messages into bytes: the header line of protocol §2,
// the TCP framing of §1, WebSocket framing and handshake (RFC 6455), and the error vocabulary
// of §7.
//
// # The pure step
//
// Everything here is a pure step: bytes in; message, rest and error out. Nothing knows a socket, a
// clock, a source of randomness, a logger or another connection, so that every parser can be fuzzed
// with any chunking. What a parser says depends on the bytes so far and never on how they were cut:
// that is what the fuzz targets FuzzTCPDecoder, FuzzWSDecoder and FuzzHandshake hold it to.
//
// # Reading order
//
//	codec.go      Kind, Message, Decoder, FrameError
//	tcp.go        the smaller decoder: the shape of both
//	ws.go         the WebSocket decoder; ws_mask.go, ws_text.go: its inner loops
//	ws_deflate.go the same with permessage-deflate; inflate.go: a message, step by step
//	buffer.go     where partial frames wait
//	header.go     a message's header line
//	handshake.go  the HTTP upgrade; extension.go: its extensions; http_error.go refuses it
//	ws_out.go     outbound frames; deflate.go compresses what they hold
//	uuid.go, errors.go, answer.go, json.go  what answers are made of
//
// # Two kinds of error
//
// A HeaderError is answered and the connection lives. A FrameError or a HandshakeError means that
// the framing is lost, or never was: answer and close.
//
// # Memory
//
// Slices that come out alias what went in: copy what outlives the call. A frame that lies whole in
// the input is never copied. A partial one waits in a pooled buffer of at most twice what arrived
// (128 bytes at the least), whatever length it announced; between two frames a decoder holds
// nothing.
//
// # Permessage-deflate
//
// RFC 7692 stands beside the rest: a WSDeflateDecoder has a WSDecoder that lets RSV1 through on the
// first frame of a message, and inflates what that puts together, bounded by the same maximum, in
// steps that its caller asks for. Handshake.AgreeDeflate puts the answer to an offer into the 101
// response; a Deflater compresses what leaves. No message refers to another, so no connection has
// a window of its own.
package codec
