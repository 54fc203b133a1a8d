package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"mbserver/codec"
)

// lastWord bounds how long close_notify may take (RFC 8446 §6.1): it finds room
// unless the peer reads nothing.
const lastWord = 100 * time.Millisecond

// routeCache is how many topics a connection remembers the routes of.
const routeCache = 8192

// maxTimeoutMs is the largest timeout accepted in a header from the broker,
// and the largest sent when the broker did not tell its limit.
const maxTimeoutMs = 1<<53 - 1

// link is one connection: its reader and writer goroutines and what dies with it.
type link struct {
	// Immutable after newLink.
	client *Client
	conn   net.Conn
	born   time.Time // with a monotonic reading: the wall clock may step
	ws     bool
	out    *outbox
	ctx    context.Context // ends with the connection; for handlers
	cancel context.CancelCauseFunc
	ready  chan struct{}    // closed when welcome is set
	dead   chan struct{}    // closed by fail
	going  chan drainNotice // capacity 1: the node is about to go away
	gone   sync.WaitGroup

	// Written before ready is closed.
	welcome welcome

	calls calls

	// Atomic.
	lastRead atomic.Int64 // nanoseconds after born
	stage    stageWord    // of the time in which two connections deliver, see overlap
	orderly  atomic.Bool  // the peer has ended the connection, after all that it had to say
	// identified is who this connection is; nil: the broker did not say.
	identified    atomic.Pointer[identification]
	reidentifying atomic.Bool  // reidentify runs
	refusals      atomic.Int32 // wrong tokens shown

	// Owned by reidentify.
	warned bool // that no later token is to be had

	// Guarded by failing.
	failing sync.Once
	cause   error // readable after dead is closed

	// Owned by the reader.
	decoder  codec.Decoder
	publish  map[string]*route
	request  map[string]*route
	registry uint64 // version the routes are of
	greeted  bool
	said     *Error // the broker's last word, see lastWord
}

func (c *Client) newLink(conn net.Conn, ws bool) *link {
	l := &link{
		client: c, conn: conn, ws: ws, born: time.Now(),
		out:   newOutbox(conn, ws, c.options.outbound),
		ready: make(chan struct{}), dead: make(chan struct{}),
		going:   make(chan drainNotice, 1),
		publish: make(map[string]*route), request: make(map[string]*route),
	}
	if ws {
		l.decoder = codec.NewWSDecoder(c.options.maxMessage, true)
	} else {
		l.decoder = codec.NewTCPDecoder(c.options.maxMessage)
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.out.waits = c.queue.waiting
	return l
}

// run starts the goroutines. early are bytes that were read with the handshake.
func (l *link) run(early []byte) {
	l.gone.Add(2)
	go func() {
		defer l.gone.Done()
		l.fail(l.out.run())
	}()
	go func() {
		defer l.gone.Done()
		defer l.decoder.Release()
		l.fail(l.ended(l.read(early)))
	}()
}

// fail ends the connection. The first cause stays. Any goroutine; does not wait,
// but for lastWord at most.
func (l *link) fail(cause error) {
	l.failing.Do(func() {
		if errors.Is(cause, io.EOF) {
			cause = errors.New("connection closed by the broker")
		}
		l.cause = lost(cause)
		l.out.fail(l.cause)
		l.calls.fail(l.cause)
		close(l.dead) // whoever knows of the end finds that nothing can begin here any more
		l.cancel(l.cause)
		l.hangUp()
	})
}

// hangUp closes the connection. TLS says that first.
func (l *link) hangUp() {
	if secure, ok := l.conn.(*tls.Conn); ok {
		below := secure.NetConn()
		defer time.AfterFunc(lastWord, func() { _ = below.Close() }).Stop()
	}
	_ = l.conn.Close() // It is gone either way.
}

// goodbye writes what is left, ends the outbound direction and lets the broker
// close: closing with unread answers would reset the connection and take away
// what the broker has not read yet.
func (l *link) goodbye(cause error) {
	l.calls.fail(cause)
	if l.ws {
		l.out.control(codec.Close, codec.AppendClosePayload(nil, codec.CloseNormal, ""))
	}
	// Whatever is waited for below ends with the connection. To end the outbound direction may
	// take time too: over TLS it is a message.
	patience := time.AfterFunc(l.client.options.closePatience, func() { l.fail(cause) })
	defer patience.Stop()
	<-l.out.flushed()
	half, ok := l.conn.(interface{ CloseWrite() error })
	if l.ws || ok && half.CloseWrite() == nil {
		<-l.dead
	}
	l.fail(cause)
	l.gone.Wait()
}

func (l *link) read(early []byte) error {
	if err := l.take(early); err != nil {
		return err
	}
	buf := make([]byte, l.client.options.readBuffer)
	for {
		n, err := l.conn.Read(buf)
		if n > 0 {
			l.heard()
			if err := l.take(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				l.orderly.Store(true)
			}
			return err
		}
	}
}

// take handles every message in the bytes that arrived.
func (l *link) take(in []byte) error {
	for {
		m, rest, ferr := l.decoder.Next(in)
		if ferr != nil {
			return fmt.Errorf("framing: %w", ferr)
		}
		switch m.Kind {
		case codec.None:
			return nil
		case codec.Binary, codec.Text:
			if err := l.message(m.Data); err != nil {
				return err
			}
		case codec.Ping:
			l.out.control(codec.Pong, m.Data)
		case codec.Close:
			return l.closed(m.Data)
		}
		in = rest
	}
}

// closed answers the peer's close frame (RFC 6455 §5.5.1) and says why it came.
func (l *link) closed(payload []byte) error {
	l.out.control(codec.Close, codec.AppendClosePayload(nil, codec.EchoCloseCode(payload), ""))
	patience := time.NewTimer(l.client.options.closePatience)
	defer patience.Stop()
	select {
	case <-l.out.flushed():
	case <-patience.C:
	case <-l.dead:
	}
	if len(payload) < 2 {
		return errors.New("closed by the broker")
	}
	code := int(payload[0])<<8 | int(payload[1])
	l.orderly.Store(code == codec.CloseGoingAway)
	return fmt.Errorf("closed by the broker with code %d %s", code, payload[2:])
}

// heard notes a sign of life.
func (l *link) heard() { l.lastRead.Store(int64(time.Since(l.born))) }

// silence is how long nothing was read.
func (l *link) silence() time.Duration {
	return time.Since(l.born) - time.Duration(l.lastRead.Load())
}

// beat is how often a client that does not read says that it lives: twice in
// the shorter of its own keep-alive and the broker's patience.
func (l *link) beat() time.Duration {
	beat := DefaultKeepAlive
	if told := time.Duration(l.welcome.Heartbeat.RetryMs) * time.Millisecond; told > 0 {
		beat = min(beat, told)
	}
	if own := l.client.options.keepAlive; own > 0 {
		beat = min(beat, own)
	}
	return max(beat/2, time.Millisecond)
}

// watch returns when the connection is gone; it notices a peer that fell
// silent, and speaks for a reader that waits for callbacks: the broker would
// take its silence for death. What the kernel knows of the peer counts too: a
// reader that waits, or reads what came long ago, does not see that nothing
// comes any more.
func (l *link) watch() {
	timer := time.NewTimer(l.beat())
	defer timer.Stop()
	for {
		select {
		case <-l.dead:
			return
		case <-timer.C:
		}
		next, err := l.look()
		if err != nil {
			l.fail(err)
			return
		}
		timer.Reset(next)
	}
}

// look says when to look again, or why the connection is to be given up.
func (l *link) look() (next time.Duration, err error) {
	keep, next := l.client.options.keepAlive, l.beat()
	blocked := l.client.queue.blocked() // Before silence: see resumed.
	silent := l.silence()
	tcp, known := tcpStateOf(l.conn)
	if known && tcp.owed && keep > 0 {
		if tcp.gone(2 * keep) {
			return 0, fmt.Errorf("the broker's machine has acknowledged nothing for %v", tcp.silent)
		}
		next = min(next, max(2*keep, ackPatience)-tcp.silent)
	}
	switch {
	case blocked:
		if l.out.idle() {
			// A response is not answered: nothing piles up behind what is unread.
			l.out.force(&frame{action: codec.Response, topic: topicHeartbeat,
				version: systemVersion, payload: success})
		}
	case keep <= 0:
	case silent >= 2*keep:
		return 0, fmt.Errorf("no sign of life from the broker for %v",
			silent.Round(time.Millisecond))
	case silent >= keep:
		var id [36]byte
		l.out.force(&frame{action: codec.Request, topic: topicHeartbeat, version: systemVersion,
			id: l.client.nextID().Append(id[:0]), payload: emptyObject})
		next = min(next, 2*keep-silent)
	default:
		next = min(next, keep-silent)
	}
	return max(next, time.Millisecond), nil
}
