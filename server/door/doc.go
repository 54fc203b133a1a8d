// Package door is where connections arrive, and where it is decided whether they become the node's:
// limits, the WebSocket handshake, last words. It runs on the loops and never waits there. Each
// visit has a deadline and a bound in bytes, each step costs little whatever the peer sends, and
// the number of visitors is bounded: the oldest gives way to the newest. Over TCP there is nothing
// to wait for: an arrival becomes a connection in the step that accepts it.
//
// Reading order: door.go (bind, open, close), listener.go (accept), admission.go (a place, or a
// refusal), gate.go (the door's part on one loop), visitor.go (a handshake, or last words). What
// has to be read before the handshake, such as a PROXY header, has its place in visitor.Ready,
// before ask.
package door
