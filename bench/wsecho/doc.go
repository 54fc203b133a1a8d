// Command wsecho hands each WebSocket message back to its sender, over the door, the loops and the
// codec of a node: public suites that test WebSocket servers by an echo can be pointed at it.
//
//	go run ./bench/wsecho [--address 127.0.0.1:9001] [--max-message 16777216]
//		[--tls-cert FILE --tls-key FILE] [--deflate]
//
// Text comes back as text and binary as binary, fragmented messages whole. Nothing else is sent but
// what the protocol asks for. A message over the limit, and framing that is wrong, end the
// connection with the close code that a node gives.
//
// Its tests are this project's own suite: every section of RFC 6455 and of RFC 7692, over real
// sockets, plainly, over TLS, and with permessage-deflate agreed.
package main
