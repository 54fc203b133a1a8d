package door

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mbserver/server/broker"
	"mbserver/server/config"
	"mbserver/server/reactor"
)

// Door is where connections arrive: everything slow or hostile happens here, on ordinary
// goroutines, each step with a deadline and a bound in bytes, before a loop sees the connection.
// Its methods may be called by any goroutine.
type Door struct {
	// Immutable after Bind.
	broker           *broker.Broker
	room             *reactor.Group
	log              *slog.Logger
	handshakeTimeout time.Duration
	listeners        []*listener

	// Any goroutine.
	arriving atomic.Int64
	work     sync.WaitGroup

	// Guarded by mu.
	mu     sync.Mutex
	inside map[net.Conn]struct{} // connections in their handshake; nil once the door is closed
}

type listener struct {
	net.Listener
	transport broker.Transport
}

// Bind listens on every port of the configuration, but accepts nobody before Open. An error names
// the address that could not be bound, and leaves nothing listening.
func Bind(cfg *config.Config, b *broker.Broker, log *slog.Logger) (*Door, error) {
	d := &Door{
		broker: b, log: log.With("module", "door"),
		handshakeTimeout: cfg.Connection.HandshakeTimeout,
		inside:           make(map[net.Conn]struct{}),
	}
	for _, l := range []struct {
		transport broker.Transport
		port      int
	}{{broker.TransportWS, cfg.Ports.WS}, {broker.TransportTCP, cfg.Ports.TCP}} {
		if err := d.listen(l.transport, cfg.Host, l.port); err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// listen binds one transport's port on every address that host means; port 0 turns it off,
// config.AnyPort takes any.
func (d *Door) listen(t broker.Transport, host string, port int) error {
	if port == 0 {
		return nil
	}
	anyPort := port == config.AnyPort
	port = max(port, 0)
	hosts := []string{host}
	if host == "localhost" {
		hosts = []string{"127.0.0.1", "::1"} // every loopback address (protocol §9)
	}
	for i, h := range hosts {
		address := net.JoinHostPort(h, strconv.Itoa(port))
		l, err := listenConfig.Listen(context.Background(), "tcp", address)
		if err != nil {
			noIPv6 := errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
			if i > 0 && (noIPv6 || anyPort) {
				continue
			}
			return fmt.Errorf("listening for %s: %w", t, err)
		}
		port = l.Addr().(*net.TCPAddr).Port
		d.listeners = append(d.listeners, &listener{Listener: l, transport: t})
	}
	return nil
}

// Addr returns the address that a transport's listener is bound to, the first of several;
// empty when it is off.
func (d *Door) Addr(transport string) string {
	for _, l := range d.listeners {
		if l.transport.String() == transport {
			return l.Addr().String()
		}
	}
	return ""
}

// Open begins to accept; who passes is enrolled in room.
func (d *Door) Open(room *reactor.Group) {
	d.room = room
	for _, l := range d.listeners {
		d.log.Info("listening", "transport", l.transport.String(), "address", l.Addr().String())
		d.work.Add(1)
		go d.accept(l)
	}
}

// Close stops accepting, cuts handshakes, and waits until nobody is in the door.
func (d *Door) Close() {
	for _, l := range d.listeners {
		_ = l.Close()
	}
	d.mu.Lock()
	inside := d.inside
	d.inside = nil
	d.mu.Unlock()
	for c := range inside {
		_ = c.SetDeadline(time.Now())
	}
	d.work.Wait()
}

// accept takes connections until the listener is closed. A shortage of descriptors makes it wait,
// never stop.
func (d *Door) accept(l *listener) {
	defer d.work.Done()
	backoff := acceptBackoffMin
	for {
		c, err := l.Accept()
		if err == nil {
			backoff = acceptBackoffMin
			d.admit(c, l.transport)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		d.broker.Arrivals.Failed.Add(time.Now().Unix())
		d.warn("cannot accept a connection", "transport", l.transport.String(),
			"error", err.Error(), "retryMs", backoff.Milliseconds())
		time.Sleep(backoff)
		backoff = min(2*backoff, acceptBackoffMax)
	}
}

// warn writes a rate-limited line.
func (d *Door) warn(message string, attrs ...any) {
	d.broker.Throttle.Log(d.log, slog.LevelWarn, message, attrs...)
}

// debug says why a handshake failed.
func (d *Door) debug(c net.Conn, reason string) {
	if d.log.Enabled(context.Background(), slog.LevelDebug) {
		d.log.Debug("handshake failed", "remote", c.RemoteAddr().String(), "reason", reason)
	}
}
