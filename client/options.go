package client

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Defaults of the options.
const (
	DefaultDialTimeout = 10 * time.Second
	DefaultVersion     = "1.0.0"
	DefaultOutbound    = 256 << 10 // bytes waiting to be written
	DefaultPending     = 8 << 20   // bytes waiting for callbacks
	DefaultReadBuffer  = 64 << 10
	DefaultMaxMessage  = 64 << 20
	DefaultKeepAlive   = 30 * time.Second
	DefaultBackoffMin  = 100 * time.Millisecond
	DefaultBackoffMax  = 10 * time.Second
)

// Option changes how [Dial] connects and how the client behaves afterwards.
type Option func(*options)

// options are immutable after Dial.
type options struct {
	dialTimeout time.Duration
	dial        func(ctx context.Context, network, address string) (net.Conn, error)
	tls         *tls.Config
	header      http.Header
	token       func(ctx context.Context) (string, error) // nil: none
	version     string
	// Of WithName; nil: none.
	registration *Registration

	outbound   int
	pending    int
	readBuffer int
	maxMessage int
	keepAlive  time.Duration
	// closePatience bounds how long a closing connection may take to write what
	// is left and to say goodbye.
	closePatience time.Duration

	reconnect  bool
	backoffMin time.Duration
	backoffMax time.Duration
	attempts   int
	refusalMin time.Duration // see refusalPause
	refusalMax time.Duration

	onError      func(*Error)
	onGap        func(Gap)
	onFlow       func(Flow)
	onDisconnect func(error)
	onReconnect  func(Renewal)
	onRevoked    func(*Subscription)
	onMove       func(Renewal)
	logger       *slog.Logger
}

func newOptions(opts []Option) options {
	o := options{
		dialTimeout: DefaultDialTimeout,
		dial:        (&net.Dialer{}).DialContext,
		version:     DefaultVersion,
		outbound:    DefaultOutbound,
		pending:     DefaultPending,
		readBuffer:  DefaultReadBuffer,
		maxMessage:  DefaultMaxMessage,
		keepAlive:   DefaultKeepAlive,
		reconnect:   true,
		backoffMin:  DefaultBackoffMin,
		backoffMax:  DefaultBackoffMax,
		refusalMin:  refusalPauseMin,
		refusalMax:  refusalPauseMax,

		closePatience: 2 * time.Second,
	}
	for _, set := range opts {
		set(&o)
	}
	if o.logger == nil {
		o.logger = slog.Default()
	}
	return o
}

// WithDialTimeout bounds one attempt to connect, TCP connect to
// system.initialize (default [DefaultDialTimeout]; 0: no bound). A shorter
// deadline of Dial's context wins.
func WithDialTimeout(d time.Duration) Option { return func(o *options) { o.dialTimeout = d } }

// WithDialer replaces how the TCP connection is made (TLS and the WebSocket
// handshake come on top of it). address is host:port.
func WithDialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return func(o *options) { o.dial = dial }
}

// WithTLS sets the TLS configuration of wss:// and tls:// connections: RootCAs
// to trust an authority of one's own, Certificates for what the client shows of
// itself. Without it the system's roots are trusted, and TLS 1.2 is the least.
// cfg is copied. What it leaves open is filled in: the server name from the
// address, http/1.1 as the protocol (ALPN) of wss://, and a cache of sessions,
// so that a reconnect needs no whole handshake.
func WithTLS(cfg *tls.Config) Option { return func(o *options) { o.tls = cfg } }

// WithHeader adds headers to the WebSocket handshake.
func WithHeader(h http.Header) Option { return func(o *options) { o.header = h } }

// WithMessageVersion sets the version (MAJOR.MINOR.PATCH) of the publishes and
// requests the client sends on user topics (default [DefaultVersion]).
func WithMessageVersion(v string) Option { return func(o *options) { o.version = v } }

// WithOutbound bounds the bytes waiting to be written (default
// [DefaultOutbound]); as many again may be in the write in progress. A single
// larger message is taken when nothing waits.
func WithOutbound(bytes int) Option { return func(o *options) { o.outbound = bytes } }

// WithPending bounds the bytes of messages waiting for the dispatch goroutine
// (default [DefaultPending]), each counted with 96 bytes beside its own; as many
// again may be worked off.
func WithPending(bytes int) Option { return func(o *options) { o.pending = bytes } }

// WithReadBuffer sets the size of one read, in bytes (default
// [DefaultReadBuffer], at least 512).
func WithReadBuffer(bytes int) Option { return func(o *options) { o.readBuffer = max(bytes, 512) } }

// WithMaxMessage sets the largest message accepted from the broker, in bytes
// (default [DefaultMaxMessage]). A larger one ends the connection.
func WithMaxMessage(bytes int) Option { return func(o *options) { o.maxMessage = bytes } }

// WithKeepAlive sets after what silence of the broker it is asked for a
// heartbeat (default [DefaultKeepAlive]); after twice that the connection counts
// as lost, and so it does when the broker's machine has acknowledged nothing for
// twice that (on Linux, and at least half a second), whatever the callbacks do.
// 0 turns it off.
func WithKeepAlive(d time.Duration) Option { return func(o *options) { o.keepAlive = d } }

// WithoutReconnect makes the loss of the connection final. From a node that says
// that it goes away the client moves to another all the same, while nothing is lost.
func WithoutReconnect() Option { return func(o *options) { o.reconnect = false } }

// WithReconnect sets the back-off: before attempt n = 0, 1, … the client waits a
// random time between 0 and min(longest, first·2ⁿ) (defaults
// [DefaultBackoffMin] and [DefaultBackoffMax]). attempts bounds the attempts
// after one loss; 0, the default, means for ever. A broker that says when to come
// again (retryAfterMs, Retry-After; at most a minute) is asked then, or up to a
// quarter later. After an attempt that was refused for who the client is (an
// ErrUnauthorized or ErrForbidden) the wait is longer, 15 seconds to 5 minutes or as
// long as the broker asks for, at most an hour, and OnError is told. So it is when an
// operator has closed the connection ("kicked").
func WithReconnect(first, longest time.Duration, attempts int) Option {
	return func(o *options) {
		o.reconnect, o.attempts = true, attempts
		o.backoffMin, o.backoffMax = max(first, time.Millisecond), longest
	}
}

// OnError is called for errors that answer no call: NO_ROUTE_FOUND and the like
// for publishes without acknowledgement, subscriptions that could not be
// renewed after a reconnect, messages that could not be read; and attempts to
// reconnect, or to renew who the client is, that were refused. Without it these
// two go to the logger, the others are ignored. Like all hooks it runs on the
// dispatch goroutine.
func OnError(f func(*Error)) Option { return func(o *options) { o.onError = f } }

// OnGap is called when messages were dropped for this slow subscriber, before
// the next message that follows the gap (protocol §9).
func OnGap(f func(Gap)) Option { return func(o *options) { o.onGap = f } }

// OnFlow is called when the broker pauses or resumes this publisher (protocol §9).
func OnFlow(f func(Flow)) Option { return func(o *options) { o.onFlow = f } }

// OnDisconnect is called with the cause when the connection was lost, but not
// for Close and Drain.
func OnDisconnect(f func(error)) Option { return func(o *options) { o.onDisconnect = f } }

// OnReconnect is called when a lost connection is up again and all that could
// be renewed of registration and subscriptions stands. What a rate limit
// refuses, or a busy broker does not answer in time, is asked for again, so that
// it may be called some time after the connection is in use.
func OnReconnect(f func(Renewal)) Option { return func(o *options) { o.onReconnect = f } }

// OnMove is called when the client has gone to another node because the one it was
// connected to goes away, without having lost anything: no OnDisconnect and no
// OnReconnect belong to it. All that could be renewed stands.
func OnMove(f func(Renewal)) Option { return func(o *options) { o.onMove = f } }

// OnRevoked is called when the broker has ended a subscription because it is not
// permitted any more (protocol §10): no callback of it starts afterwards, and it
// is not renewed, until it is asked for again. Its Err says so too.
func OnRevoked(f func(*Subscription)) Option { return func(o *options) { o.onRevoked = f } }

// WithLogger sets where what affects a subscription is told when there is no
// hook for it: gaps without OnGap, losses of the connection without
// OnDisconnect, what could not be renewed without OnReconnect or OnMove,
// revocations without OnRevoked, and without OnError messages that are not the JSON of
// [SubscribeJSON] and whatever keeps the client from proving who it is.
// The default is slog.Default().
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithName registers the client under this name (1–36 characters) while it
// connects, as [Client.Register] does with more than a name. When the broker
// refuses it for now, Dial asks again within [WithDialTimeout].
func WithName(name string) Option {
	return func(o *options) { o.registration = &Registration{Name: name} }
}
