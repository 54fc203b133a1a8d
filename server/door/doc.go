// Package door is where connections arrive, and where everything slow or hostile happens before a
// loop sees them: limits, the WebSocket handshake, last words. Each arriving connection has one
// short-lived goroutine, every step a deadline and a bound in bytes, and the number of connections
// in the door is bounded.
//
// Reading order: door.go (listen, accept), admission.go (a place or a refusal, and the way to a
// loop), handshake.go. What has to be read before the handshake, such as a PROXY header, has its
// place in handle, before upgrade.
package door
