// Package client is the Go client of the MB message broker: publish and
// subscribe, request and response, over WebSocket or TCP, with or without TLS.
// The section numbers "protocol §n" refer to docs/protocol.md.
//
// # Goroutines and callbacks
//
// Every method may be called from any goroutine. Subscription callbacks and
// the On… hooks run one after the other, in the order in which the broker sent
// what caused them, on one dispatch goroutine per client: they need no locks
// among themselves, and a slow one delays the others. While the dispatch
// goroutine lags, up to the limit of [WithPending] is held; then the client
// stops reading, so that the broker's overflow policy for slow subscribers
// decides (a call that waits for an answer lifts that limit four-fold, so that
// a callback may make calls). Request handlers run on goroutines of their own,
// at most [WithConcurrency] for each handler.
//
// # Outbound batching
//
// Messages are appended to a bounded buffer; one goroutine takes all of it and
// writes it with one system call. A lone message therefore leaves at once and
// a burst leaves in few writes. When the buffer is full, Publish blocks.
//
// # Connection loss
//
// Calls in flight fail at once with [ErrDisconnected], and so does everything
// sent while there is no connection: nothing is kept for later. Unless
// [WithoutReconnect] is given, the client reconnects with a fully jittered
// exponential back-off, registers and subscribes again.
//
// # Errors in payloads
//
// The broker passes the payload of an answer through unchanged (protocol §6).
// A handler that returns an error therefore answers with the same JSON object
// the broker uses for its own errors (protocol §7),
//
//	{"error":{"code":…,"message":…,"timestamp":…,"details":{…}}}
//
// and [Client.Request] turns any answer of that form into an [*Error]. A plain
// error carries the code [CodeHandler]; a handler that returns an [*Error]
// chooses code, message and details itself.
package client
