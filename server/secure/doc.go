// Package secure is TLS without sockets: certificates that can be read anew while the node runs,
// and sessions over memory, whose ciphertext somebody else carries. All of TLS itself is
// crypto/tls; no other package of the node imports that, but for checking a configuration.
//
// Reading order: session.go (what was agreed on: open and seal), wire.go (the memory between
// crypto/tls and whoever has the socket), handshake.go (agreeing, in steps), hello.go (whether a
// handshake is worth beginning), certificates.go (what is shown, and who is asked for one).
package secure
