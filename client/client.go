package client

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"mbserver/codec"
)

// Client is a connection to a broker, renewed when it is lost. Any goroutine.
type Client struct {
	// Immutable after Dial.
	addresses []*url.URL
	options   options
	secure    *tls.Config // of TLS connections, but for names; nil: there are none
	queue     *queue
	idHigh    uint64

	// Capacity 1: held while subscriptions or the registration change.
	subscribing chan struct{}
	closing     chan struct{} // closed by finish
	stopped     chan struct{} // closed when no connection goroutine is left
	done        chan struct{} // closed when the dispatch goroutine is gone too

	// Owned by Dial, then by supervise.
	address *url.URL    // the one in use
	next    int         // index of the one to try next
	resting []time.Time // until when each of addresses wants to be left alone
	token   string      // to show there; "": none
	kicks   int         // how often an operator has closed the connection, lately

	registry     registry
	registration []byte // guarded by subscribing; nil: none
	handlers     counter
	background   sync.WaitGroup // see spawn
	leaving      sync.WaitGroup // of old connections, waited for by supervise

	// Atomic.
	link     atomic.Pointer[link] // nil while there is no connection
	last     atomic.Pointer[link] // there is one after Dial
	idLow    atomic.Uint64
	draining atomic.Bool

	// Guarded by mu.
	mu       sync.Mutex
	finished error              // why closing was closed
	adopted  chan struct{}      // closed with the next connection
	moving   chan struct{}      // closed when the move is over; nil: there is none
	left     map[*link]struct{} // on which something is outstanding
}

// Dial connects to a broker at ws://, wss://, tcp:// or tls:// host:port (by
// default 3000, 8000, 3001, 8001) and waits for its welcome. address may be
// several with commas between them, for the same broker or for others as good:
// the first that answers is used, and after a loss the next ones are tried
// first. ctx bounds this first attempt only; [WithDialTimeout] bounds each
// address of each attempt. A broker that refuses says why with an [*Error]: that
// of a wrong token is an [ErrUnauthorized], and so is it to have none where one
// is required; details: reason (protocol §10).
func Dial(ctx context.Context, address string, opts ...Option) (*Client, error) {
	addresses, err := parseAddresses(address)
	if err != nil {
		return nil, err
	}
	c := &Client{
		addresses: addresses, options: newOptions(opts),
		idHigh:      rand.Uint64(),
		subscribing: make(chan struct{}, 1),
		closing:     make(chan struct{}), stopped: make(chan struct{}), done: make(chan struct{}),
		adopted: make(chan struct{}), left: make(map[*link]struct{}),
		resting: make([]time.Time, len(addresses)),
	}
	if !validVersion(c.options.version) {
		return nil, &Error{Code: codec.MalformedMessage,
			Message: "version " + c.options.version + " is not MAJOR.MINOR.PATCH"}
	}
	c.secure = secureConfig(addresses, c.options.tls)
	c.queue = newQueue(c.options.pending, c.tellGap, c.tellErrors, c.tellChange)
	c.idLow.Store(rand.Uint64())
	l, err := c.connect(ctx, "")
	if err != nil {
		return nil, err
	}
	if r := c.options.registration; r != nil {
		c.registration = mustJSON(r.complete())
		ctx, cancel := c.boundAttempt(ctx)
		err := l.insist(ctx, systemFrame(topicRegister, c.registration))
		cancel()
		if err != nil {
			l.fail(err)
			l.gone.Wait()
			return nil, err
		}
	}
	c.adopt(l)
	go c.supervise(l)
	go func() {
		defer close(c.done)
		c.queue.run()
		<-c.stopped
		c.background.Wait() // None is added after finish.
	}()
	return c, nil
}

// nextID mints a request ID: random bits of this client and a counter.
func (c *Client) nextID() codec.UUID { return codec.NewUUID(c.idHigh, c.idLow.Add(1)) }

// current returns the connection, or the error to fail with when there is none.
func (c *Client) current() (*link, error) {
	if l := c.link.Load(); l != nil {
		return l, nil
	}
	select {
	case <-c.closing:
		return nil, c.Err()
	default:
		return nil, lost(nil)
	}
}

// ServiceID returns the broker's ID of this connection; it changes with every
// reconnect, and is "" when the broker did not tell it.
func (c *Client) ServiceID() string { return c.last.Load().welcome.ServiceID }

// NodeID returns the ID of the broker's node; "" when it did not tell it.
func (c *Client) NodeID() string { return c.last.Load().welcome.NodeID }

// ServerVersion returns the broker's version; "" when it did not tell it.
func (c *Client) ServerVersion() string { return c.last.Load().welcome.ServerVersion }

// Limits returns the broker's limits as it told them last.
func (c *Client) Limits() Limits { return c.last.Load().welcome.Limits }

// Connected reports whether there is a connection at this moment.
func (c *Client) Connected() bool { return c.link.Load() != nil }

// Closing returns a channel that is closed when the client is finished: closed,
// drained, or disconnected and not (any more) reconnecting. Err says why.
func (c *Client) Closing() <-chan struct{} { return c.closing }

// Done returns a channel that is closed when every goroutine of a finished
// client has ended, handlers apart.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns nil until Closing is closed, then ErrClosed after Close and
// Drain, or the error that ended the connection (an ErrDisconnected).
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished
}

// spawn runs f on a goroutine that Done waits for; not when the client is
// finished. f must end with the connection.
func (c *Client) spawn(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished == nil {
		c.background.Go(f)
	}
}

// finish makes the client refuse everything. The first reason stays.
func (c *Client) finish(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished == nil {
		c.finished = reason
		close(c.closing)
	}
}

// Close ends the connection after writing what was sent before, for at most
// two seconds. Calls in flight fail with ErrClosed; messages that wait for
// their callback are dropped; a callback that runs is not waited for (see
// Done). It may be called from a callback, and again.
func (c *Client) Close() error {
	c.finish(ErrClosed)
	c.queue.end(true)
	<-c.stopped
	return nil
}

// Drain ends the client in order: it unsubscribes everything, lets callbacks
// and handlers finish what has arrived, waits until the broker has taken all
// that was sent, and closes. When ctx ends first it closes at once and returns
// the context's error. Not to be called from a callback or a handler.
func (c *Client) Drain(ctx context.Context) error {
	err := c.drain(ctx)
	_ = c.Close() // It never fails.
	return err
}

func (c *Client) drain(ctx context.Context) error {
	if err := c.lockSubscriptions(ctx); err != nil {
		return err
	}
	c.draining.Store(true)
	defer c.unlockSubscriptions()
	l, err := c.current()
	if err != nil {
		return err
	}
	for _, s := range c.registry.all() {
		if err := l.insist(ctx, systemFrame(s.undo, s.undoPayload())); err != nil {
			return err
		}
	}
	c.onLeft(func(old *link) { _ = c.endHandlers(ctx, old) }) // It may be gone by itself.
	dispatched := make(chan struct{})
	c.queue.do(func() { close(dispatched) })
	for _, finished := range []<-chan struct{}{dispatched, c.handlers.wait()} {
		select {
		case <-finished:
		case <-l.dead:
			return l.cause
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	_, err = l.call(ctx, systemFrame(topicHeartbeat, nil))
	return err
}

// Flush waits until everything sent before is written to the connection.
func (c *Client) Flush(ctx context.Context) error {
	l, err := c.current()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return gaveUp(ctx, "", "")
	}
	c.queue.waiting(1) // A broker that is not read does not read either.
	defer c.queue.waiting(-1)
	select {
	case <-l.out.flushed():
		return l.out.failed()
	case <-ctx.Done():
		return gaveUp(ctx, "", "")
	}
}

// Ping asks the broker for a heartbeat. The broker handles the messages of one
// connection in order: when Ping returns, it has taken all that was sent
// before, and errors about it have arrived (their hooks may still be waiting
// for the dispatch goroutine; see Settle).
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.System(ctx, topicHeartbeat, nil)
	return err
}

// Settle is Ping, and then waits until the callbacks and hooks of everything
// that arrived before have run. Not to be called from a callback.
func (c *Client) Settle(ctx context.Context) error {
	if err := c.Ping(ctx); err != nil {
		return err
	}
	dispatched := make(chan struct{})
	c.queue.do(func() { close(dispatched) })
	select {
	case <-dispatched:
		return nil
	case <-c.closing:
		return c.Err()
	case <-ctx.Done():
		return gaveUp(ctx, "", "")
	}
}
