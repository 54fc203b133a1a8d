// Package client is the Go client of the MB message broker: publish and
// subscribe, request and response, over WebSocket or TCP, with or without TLS.
// The section numbers "protocol §n" refer to docs/protocol.md.
//
// # Goroutines and callbacks
//
// Every method may be called from any goroutine. Subscription callbacks and
// the On… hooks run one after the other, in the order in which the broker sent
// what caused them, on one dispatch goroutine per client: they need no locks
// among themselves, and a slow one delays the others. A message belongs to who
// receives it, unless the subscription was made [WithBorrowedPayload].
//
// While the dispatch goroutine lags, up to the limit of [WithPending] is held;
// then the client stops reading, so that the broker's overflow policy for slow
// subscribers decides. It keeps telling the broker that it lives, and notices
// when the broker does not. A callback may make calls, or wait for a goroutine
// that does: while calls wait the limit is four times as large, and when even
// that is full and a callback has not ended for a quarter of a second, the
// client drops messages, with which the answer comes nearer, and tells [OnGap]
// how many.
//
// Errors for OnError are bounded too; how many were dropped is told to it as
// [CodeEventsDropped]. The other hooks are never skipped for them; but when the
// connection comes and goes while a callback runs, only the last loss and the
// last renewal are told.
//
// Request handlers run on goroutines of their own, at most [WithConcurrency] for each handler.
//
// # Costs
//
// A message of 128 bytes takes the client about 0.1 µs of processor time from
// the connection's bytes to the callback. That it belongs to its receiver costs
// as much again: one allocation for each callback that gets it, of the payload's
// size and 36 bytes more. One that is borrowed costs no allocation. Sending one
// takes about 0.03 µs and no allocation (go test -bench . ./client).
//
// # Outbound batching
//
// Messages are appended to a bounded buffer; one goroutine takes all of it and
// writes it with one system call. A lone message therefore leaves at once and
// a burst leaves in few writes. When the buffer is full, Publish blocks until
// its context ends. Over TLS each record, of up to 16 KiB, is a system call.
//
// # TLS
//
// Addresses that begin with tls:// and wss:// need no option when the broker's
// certificate is signed by an authority that the system trusts: its name must be
// the host of the address. [WithTLS] sets whom else to trust, the client's own
// certificate, and anything crypto/tls can do; the handshake is bounded as all of
// the attempt is, [WithDialTimeout]. An error of [Dial] says what was wrong with
// the certificate, or who else speaks at that port, and what to try. The end is
// said with close_notify, so that neither side takes a cut for it.
//
// # Who the client is
//
// Where the broker asks, [WithToken] or [WithTokenSource] prove it (or the
// certificate of [WithTLS]), and [Client.Identity] says who that is. The token
// goes with the WebSocket handshake, or is the first message over TCP; it is in
// no error and no log. What is refused is an [ErrUnauthorized], whose details
// say the reason: "required" (there is no token), "invalid", "expired", or
// "locked_out" (see [RetryAfter]).
//
// Before the token ends, a source is asked for the next, and the connection
// stays; when that fails it is tried again until the end, and then by
// reconnecting. A broker that ends the connection for its reasons ("expired",
// "revoked") says so in the error of [OnDisconnect]; one that does not let the
// client in again is asked more and more rarely, and [OnError] is told each time.
//
// What is not permitted is an [ErrForbidden] whose details have action
// ("publish", "subscribe", "request", "respond") and topic. A subscription that
// stands and is taken away, by a change of permissions or by an operator, ends:
// [OnRevoked] is told, its Err says why, and it is for the program to ask again,
// when it has reason to.
//
// # Operators
//
// An operator of the broker may close the connection: [OnDisconnect] is told an
// [ErrForbidden] whose details have the reason "kicked", and his words, if there
// are any, in its message. The client comes back, as after any loss, but not before
// 15 to 30 seconds, and later each time when it is kicked again soon, up to 5
// minutes. What stays away is a program with [WithoutReconnect], or one that closes
// the client there.
//
// He may also mute it for a while: whatever is sent is refused with an
// [ErrForbidden] whose details have the reason "muted", and [RetryAfter] says when
// to try again. Subscriptions go on meanwhile, and answers to requests pass.
//
// # Contexts
//
// A call ends with its context: an [*Error] with [CodeTimeout], which is a
// context.DeadlineExceeded too, at a deadline, and context.Canceled when it was
// cancelled. Without a deadline it ends with the broker's answer or the
// connection; only Publish waits for room for as long as there is none.
//
// Nothing is sent for a context that has ended already. A Subscribe, Handle,
// Unsubscribe or Register that was sent and given up is undone in the
// background: what holds at the broker is what the call returned. (Only a first
// registration cannot be taken back, see [Client.Register].)
//
// # Connection loss
//
// Calls in flight fail at once with [ErrDisconnected], and so does everything
// sent while there is no connection: nothing is kept for later. Unless
// [WithoutReconnect] is given, the client reconnects with a fully jittered
// exponential back-off, registers and subscribes again; what a rate limit
// refuses meanwhile is asked for again when the broker says. [OnReconnect] is
// called when all stand, with what could not be renewed.
//
// # Nodes that go away
//
// A broker's node that is about to go away says when it will close each connection
// (protocol §11). A little before, the client connects to another node, by the next
// of its addresses or through the same balancer; registers and subscribes there;
// and sends everything new over that connection. On the old one calls wait for their
// answers and requests are answered; then it is closed, at the node's deadline at
// the latest. [Client.Connected] holds throughout, no call fails, and a message that
// came over both connections is delivered once, in order. Nothing is sent twice.
// [OnMove] is told.
//
// Should the node close the connection while another one is being made, calls wait
// for that, for at most two seconds. While there is no other node the old connection
// is kept; when it ends first, that is a connection lost, as above. What comes over
// the new connection before the old one has brought its last is held, within the
// limit of [WithPending] once more; IDs of messages are remembered for ten seconds,
// at most 65,536.
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
// JSON that is not what it should be is [CodeMalformed].
package client
