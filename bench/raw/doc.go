// Package raw does a broker's socket work without a broker: what a publisher writes is copied to
// the subscribers of its channel, what a requester writes to a responder and back, with no header
// parsed, no topic matched and nothing queued that the kernel takes at once. It is the floor that a
// broker's figures are compared with, not a server to use.
//
// hub.go accepts and reads, flow.go moves bytes, hello.go is the first thing a client says.
package raw
