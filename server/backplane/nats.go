package backplane

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// NATS says where a bus of NATS servers is, and who the node is there.
type NATS struct {
	URLs        []string // of servers of one cluster
	Name        string   // of the connections, for who looks at the servers
	Credentials string   // files; empty: none
	NKey        string
	User        string // a name
	Password    string // files again
	Token       string
	CA          string
	Cert, Key   string

	Lanes   int
	Payload int // bytes of the largest message: what the servers let through must hold it
	// Pending is how many bytes of publishes may wait to be received, as of requests: not more
	// than pendingBytes.
	Pending int
	Log     *slog.Logger
}

// How fast it is noticed that a server is gone, and how fast another is tried.
const (
	pingEvery     = 250 * time.Millisecond
	pingsMost     = 2
	reconnectWait = 20 * time.Millisecond
	writeTime     = 2 * time.Second // for what a socket does not take

	// controlPending is how many frames of the control lane may wait to be received.
	controlPending = 1 << 12
	// publishPending is the same of publishes; their bytes are bounded too.
	publishPending = 1 << 20
)

// firstLane is the place of the first lane among the connections.
const firstLane = 3

// overhead is more than a frame takes beside the payload of the one message in it.
const overhead = 1024

// natsBus is NATS as a Bus. Each lane has a connection of its own, and what comes in has one: a
// lane that is flooded delays no other.
type natsBus struct {
	// Immutable after Dial.
	conns   []*nats.Conn // control, publishes that come in, requests that do, then the lanes
	log     *slog.Logger
	pending int // bytes

	publishes, requests atomic.Pointer[nats.Subscription] // that come in

	done  chan struct{} // closed by Close
	small atomic.Bool   // the servers let too little through: nothing is sent
}

var errSmall = errors.New("max_payload of the NATS servers is too small")

// Dial makes a bus over NATS. It does not wait for a server: it tries until one is there. An error
// says what is wrong with the settings.
func Dial(o NATS) (Bus, error) {
	options, err := o.options()
	if err != nil {
		return nil, err
	}
	b := &natsBus{
		done: make(chan struct{}), log: o.Log.With("module", "cluster"),
		pending: min(o.Pending, pendingBytes),
	}
	b.conns = make([]*nats.Conn, firstLane+2*o.Lanes)
	failures := make([]error, len(b.conns))
	var all sync.WaitGroup
	for i := range b.conns { // each may wait for servers that do not answer
		own := append(options[:len(options):len(options)], b.own(&o, i)...)
		all.Go(func() {
			b.conns[i], failures[i] = nats.Connect(strings.Join(o.URLs, ","), own...)
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		b.Close()
		return nil, fmt.Errorf("NATS: %w", err)
	}
	return b, nil
}

// own are the options of one connection. That of the control lane speaks for all in the log.
func (b *natsBus) own(o *NATS, i int) []nats.Option {
	switch i {
	case 0:
		look := func(c *nats.Conn) { b.look(c, int64(o.Payload+overhead)) }
		return []nats.Option{
			nats.Name(o.Name + " control"), nats.ConnectHandler(look), nats.ReconnectHandler(look),
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				if err != nil { // nil: it was closed
					b.log.Warn("the connection to NATS is gone", "error", err)
				}
			}),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				b.log.Error("NATS: "+err.Error(), "error", err)
			}),
		}
	case 1:
		return []nats.Option{nats.Name(o.Name + " publishes in")}
	case 2:
		return []nats.Option{nats.Name(o.Name + " requests in")}
	}
	if i -= firstLane; i < o.Lanes {
		return []nats.Option{nats.Name(fmt.Sprintf("%s publishes out %d", o.Name, i))}
	}
	return []nats.Option{nats.Name(fmt.Sprintf("%s requests out %d", o.Name, i-o.Lanes))}
}

// options are those of every connection.
func (o *NATS) options() ([]nats.Option, error) {
	all := []nats.Option{
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait), nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.ReconnectBufSize(-1), // what cannot be sent now is lost now, and counted
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsMost),
		nats.Timeout(time.Second), nats.FlusherTimeout(writeTime),
		nats.DisconnectErrHandler(func(*nats.Conn, error) {}),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	if o.Credentials != "" {
		all = append(all, nats.UserCredentials(o.Credentials))
	}
	if o.NKey != "" {
		key, err := nats.NkeyOptionFromSeed(o.NKey)
		if err != nil {
			return nil, fmt.Errorf("cluster.nkey: %w", err)
		}
		all = append(all, key)
	}
	password, err := secret("cluster.password", o.Password)
	if err != nil {
		return nil, err
	}
	if o.User != "" {
		all = append(all, nats.UserInfo(o.User, password))
	}
	token, err := secret("cluster.token", o.Token)
	if err != nil {
		return nil, err
	}
	if token != "" {
		all = append(all, nats.Token(token))
	}
	if o.CA != "" {
		all = append(all, nats.RootCAs(o.CA))
	}
	if o.Cert != "" {
		all = append(all, nats.ClientCert(o.Cert, o.Key))
	}
	return all, nil
}

// secret reads a file whose content is a secret, "" without one.
func secret(key, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// look looks at a server that the control lane is connected to.
func (b *natsBus) look(c *nats.Conn, need int64) {
	version := c.ConnectedServerVersion()
	b.log.Info("connected to NATS", "server", c.ConnectedUrlRedacted(), "version", version)
	if old(version) {
		b.log.Warn("this version of nats-server loses interest when subscriptions change fast: "+
			"2.12.10, 2.14.2 or later", "version", version)
	}
	small := c.MaxPayload() < need
	if b.small.Store(small); small {
		b.log.Error("max_payload of the NATS server is too small for message.payload.maxLength: "+
			"this node stays alone", "maxPayload", c.MaxPayload(), "needed", need)
	}
}

// old says whether a version of nats-server has a fault that loses interest.
func old(version string) bool {
	var major, minor, patch int
	if n, _ := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); n < 3 || major != 2 {
		return false
	}
	return minor < 12 || minor == 12 && patch < 10 || minor == 13 || minor == 14 && patch < 2
}

// Send implements Bus.
func (b *natsBus) Send(lane int, subject string, frame []byte) error {
	if b.small.Load() {
		return errSmall
	}
	c := b.conns[0]
	if lane != control {
		c = b.conns[firstLane+lane]
	}
	return c.Publish(subject, frame)
}

// Listen implements Bus.
func (b *natsBus) Listen(subjects []string, f func(subject string, frame []byte)) error {
	if len(subjects) == 1 { // publishes or requests
		c, in := b.conns[1], &b.publishes
		if strings.Contains(subjects[0], ".req.") {
			c, in = b.conns[2], &b.requests
		}
		s, err := c.Subscribe(subjects[0], func(m *nats.Msg) { f(m.Subject, m.Data) })
		if err != nil {
			return err
		}
		in.Store(s)
		return s.SetPendingLimits(publishPending, b.pending)
	}
	frames := make(chan *nats.Msg, controlPending)
	for _, subject := range subjects {
		if _, err := b.conns[0].ChanSubscribe(subject, frames); err != nil {
			return err
		}
	}
	go func() {
		for {
			select {
			case m := <-frames:
				f(m.Subject, m.Data)
			case <-b.done:
				return
			}
		}
	}()
	return nil
}

// pendingBytes is how many bytes of publishes, and of requests, may wait to be received.
const pendingBytes = 64 << 20

// Pending implements Holder.
func (b *natsBus) Pending() (all int64) {
	for _, in := range []*atomic.Pointer[nats.Subscription]{&b.publishes, &b.requests} {
		s := in.Load()
		if s == nil {
			continue
		}
		if _, bytes, err := s.Pending(); err == nil { // else it is closed
			all += int64(bytes)
		}
	}
	return all
}

// Close implements Bus.
func (b *natsBus) Close() {
	close(b.done)
	for _, c := range b.conns {
		if c == nil {
			continue
		}
		if c.IsConnected() {
			_ = c.FlushTimeout(time.Second) // who does not take it does not get it
		}
		c.Close()
	}
}
