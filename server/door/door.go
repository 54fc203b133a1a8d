package door

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"time"

	"mbserver/server/auth"
	"mbserver/server/broker"
	"mbserver/server/config"
	"mbserver/server/metrics"
	"mbserver/server/origin"
	"mbserver/server/reactor"
	"mbserver/server/secure"
)

// Door is where connections arrive and are refused or shown in. It runs on the loops, where it
// never waits: each step takes what is there, has a bound in bytes, and the whole a deadline. Its
// methods may be called by any goroutine, Open and Close one after the other.
type Door struct {
	// Immutable after Bind.
	broker           *broker.Broker
	log              *slog.Logger
	handshakeTimeout time.Duration
	deflate          bool // permessage-deflate is agreed to
	pages            *origin.Rules
	trusted          origin.Networks
	proxy            [4]proxyMode // by transport, for who is trusted
	listeners        []*listener
	files            int                  // that the process may have open
	memory           int64                // memory.limit, in bytes
	certificates     *secure.Certificates // nil: nobody listens for TLS
	steps            steps                // of TLS handshakes
	turnstile        turnstile

	// Immutable after Open.
	most  int     // visitors of each gate
	gates []*gate // by loop; the first one's accepts

	// Any goroutine.
	empty chan struct{} // a token when nobody is in the door any more
}

// Handed are listeners that others have bound, by transport ("ws", "tcp", ...).
type Handed map[string][]*net.TCPListener

// Bind listens on every port of the configuration, those for TLS only with certificates, but
// accepts nobody before Open. Where listeners of a transport are handed in it takes those, and
// binds none. An error is a *ListenError, and leaves nothing listening.
func Bind(
	cfg *config.Config, b *broker.Broker, certificates *secure.Certificates, handed Handed,
	log *slog.Logger,
) (*Door, error) {
	d := &Door{
		certificates: certificates,
		broker:       b, log: log.With("module", "door"),
		deflate:          cfg.WS.Deflate.Enabled,
		handshakeTimeout: cfg.Connection.HandshakeTimeout,
		pages:            origin.NewRules(cfg.WS.Origins, cfg.WS.Hosts),
		trusted:          cfg.Proxy.Trusted,
		proxy:            proxyModes(&cfg.Proxy.Protocol),
		empty:            make(chan struct{}, 1),
	}
	reasons := slices.Sorted(maps.Keys(causes))
	b.Arrivals.Refused.Name(reasons)
	b.Refusals.Name(slices.DeleteFunc(slices.Clone(reasons), noted))
	b.Failures.Name(append(metrics.TLSFailures(), failedHandshake, failedProxy, failedAccept))
	d.files, d.memory = filesMax(), cfg.Memory.Limit
	d.steps.door, d.steps.most = d, stepsMax()
	d.turnstile.init(d, cfg.Admission.Rate)
	for _, l := range []struct {
		transport broker.Transport
		port      int
	}{
		{broker.TransportWS, cfg.Ports.WS}, {broker.TransportTCP, cfg.Ports.TCP},
		{broker.TransportWSS, cfg.Ports.WSS}, {broker.TransportTLS, cfg.Ports.TLS},
	} {
		if l.transport.Secure() && certificates == nil {
			continue
		}
		var err error
		if own := handed[l.transport.String()]; len(own) > 0 {
			err = d.take(l.transport, own)
		} else {
			err = d.listen(l.transport, cfg.Host, l.port)
		}
		if err != nil {
			d.Close(context.Background()) // no loop has to be waited for
			return nil, err
		}
	}
	return d, nil
}

// Addr returns the address that a transport's listener is bound to, the first of several;
// empty when it is off.
func (d *Door) Addr(transport string) string {
	for _, l := range d.listeners {
		if l.transport.String() == transport {
			return l.address.String()
		}
	}
	return ""
}

// Open begins to accept; who passes becomes a connection of one of room's loops.
func (d *Door) Open(room *reactor.Group) (err error) {
	for _, l := range d.broker.Loops() {
		g := newGate(d, l, room.At(l))
		g.room.Call(context.Background(), func() { g.room.Attend(g.takeHanded) })
		d.gates = append(d.gates, g)
	}
	d.most = visitorsOf(d.memory, d.files, len(d.gates), d.certificates != nil)
	// Who finds no place is told so, as long as there is a descriptor to accept it with.
	others := filesOpen() + d.most*len(d.gates) + spareFiles
	places := d.broker.LimitPlaces(int64(d.files - others))
	reserveFiles(tableOf(int(places)+others, d.files, d.memory))
	for _, l := range d.listeners {
		d.log.Info("listening", "transport", l.transport.String(), "address", l.address.String())
		l.gate = d.gates[0]
	}
	// All in one step: whoever comes to the first may close the turnstile, and open it again, for
	// all of them.
	d.gates[0].room.Call(context.Background(), func() {
		for _, l := range d.listeners {
			err = errors.Join(err, l.watch())
		}
	})
	return err
}

// Shut stops accepting: who comes from here on waits for another node, when the socket was handed
// in. Whom the door has let come may enter still, within shutPatience.
func (d *Door) Shut(ctx context.Context) {
	if d == nil { // The node was never started.
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shutPatience)
	defer cancel()
	d.closeListeners(ctx)
	d.awaitEmpty(ctx)
}

// Close stops accepting, cuts handshakes, and waits until nobody is in the door: those that hear
// why they may not enter are heard out. It does not wait longer than ctx, nor than closePatience: a
// loop that is busy does its part when it can.
func (d *Door) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closePatience)
	defer cancel()
	d.closeListeners(ctx)
	// Whom the listeners let in is at its gate by now.
	for _, g := range d.gates {
		g.room.Call(ctx, g.cut)
	}
	d.awaitEmpty(ctx)
}

// closeListeners has every listener closed.
func (d *Door) closeListeners(ctx context.Context) {
	for _, l := range d.listeners {
		if l.gate != nil {
			l.gate.room.Call(ctx, l.close)
		} else { // not opened
			l.close()
		}
	}
}

// awaitEmpty waits until nobody is in the door.
func (d *Door) awaitEmpty(ctx context.Context) {
	for len(d.gates) > 0 && d.broker.Visitors.Load() > 0 {
		select {
		case <-d.empty:
		case <-ctx.Done():
			return
		}
	}
}

// come counts one visitor more, on its way to a gate.
func (d *Door) come(to *gate) {
	d.broker.Visitors.Add(1)
	to.visitors.Add(1)
}

// leave counts one visitor of a gate less.
func (d *Door) leave(g *gate) {
	g.visitors.Add(-1)
	if d.broker.Visitors.Add(-1) == 0 {
		select {
		case d.empty <- struct{}{}:
		default:
		}
	}
}

// Why a handshake has failed, where it is not TLS (metrics.TLSFailures).
const (
	failedHandshake = "handshake"
	failedProxy     = "proxy"
	failedAccept    = "accept"
)

// noteFailed counts an arrival that came to nothing, and notes why.
func (d *Door) noteFailed(why string) {
	d.broker.Arrivals.Failed.Add(time.Now().Unix())
	d.broker.Failures.Note(why, d.broker.NowMs())
}

// noted says of a reason to refuse somebody that the node takes note of it anyhow, as of wrong
// credentials and of who is locked out.
func noted(reason string) bool {
	return reason == auth.ErrInvalid.Error() || reason == auth.ErrExpired.Error() ||
		reason == lockedOut
}

// warn writes a rate-limited line; what it is about stands behind a colon.
func (d *Door) warn(message, about string, attrs ...any) {
	d.broker.Throttle.LogAbout(d.log, slog.LevelWarn, message, about, attrs...)
}

// recovered is deferred where a fault of ours must not end the loop: it is logged, and undo lets go
// of what it left.
func (d *Door) recovered(undo func()) {
	if v := recover(); v != nil {
		d.broker.FaultAside()
		d.broker.Throttle.Log(d.log, slog.LevelError, "internal fault", "panic", fmt.Sprint(v))
		undo()
	}
}
