package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"mbserver/server/census"
	"mbserver/server/metrics"
	"mbserver/server/origin"
)

// Node is what operators ask of a node. Any goroutine.
type Node interface {
	// Sample gathers the node's numbers.
	Sample(now time.Time) *metrics.Sample
	// Ready says whether new connections are welcome, and in one word why not.
	Ready() (ready bool, word string)
	// Live says whether it does its work, and in one word why not.
	Live() (alive bool, word string)
	// Cluster tells of other nodes.
	Cluster(now time.Time) metrics.Cluster
	// Load tells how much of what it has it uses.
	Load() metrics.Load
	Troubled
	Storied
}

// About is what the listener says of the node itself.
type About struct {
	Version, NodeID string
	Server          string // URL at which clients reach it, as seen from its machine
}

// Options say what is served where.
type Options struct {
	Address  string       // host:port; empty: nothing is
	Listener net.Listener // that others have bound, in place of Address; nil: none
	Pprof    bool         // profiles of the process too
	Hosts    []string     // names beside those of loopback by which it may be called
	Desk     Desk         // knows who asks
	Operator Operator     // what can be done to the node
	Census   Census       // what there is to see of it
	Settings func() []census.Setting
	// Reading says how the configuration was read since the start.
	Reading func() census.Reading
	Dial    Dial
	Source  Source // what streams show; nil: there are none
	Open    bool   // who gives no credentials may change the node too, and see payloads

	tick, write time.Duration // of streams, in place of streamTick and streamWrite; 0: these
}

// Server is the operators' HTTP listener: what it has is said at /. Probes and /metrics are for
// whoever reaches its address; for all else access.go decides who asks and may. A nil Server is one
// that is off. Any goroutine.
type Server struct {
	// Immutable after Start.
	node     Node
	about    About
	started  time.Time
	desk     Desk
	operator Operator
	census   Census
	settings func() []census.Setting
	reading  func() census.Reading
	dial     Dial
	walks    walks
	source   Source
	open     bool          // Options.Open
	loopback bool          // only this machine reaches it
	names    *origin.Rules // by which it may be called
	log      *slog.Logger
	listener net.Listener
	http     *http.Server
	done     chan struct{} // closed when the server's goroutine has ended

	// Any goroutine.
	count   atomic.Int64 // connections
	streams streams
	history history
}

// Bounds of one request.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	idleTimeout  = time.Minute
	closeTimeout = time.Second // what answers under way may take when the node stops
	headerBytes  = 8 << 10

	// connections is how many there may be at a time; more wait until one ends. While there are
	// more than kept, none is kept for another request: who asks once is not to wait for who may
	// ask again.
	connections = 64
	kept        = connections / 2
)

// Start binds the address, or takes the listener, and serves it; without either it gives nil. The
// error is the system's.
func Start(o Options, n Node, about About, log *slog.Logger) (*Server, error) {
	listener := o.Listener
	if listener == nil {
		if o.Address == "" {
			return nil, nil
		}
		var err error
		if listener, err = listen(o.Address); err != nil {
			return nil, err
		}
	}
	log = log.With("module", "admin")
	s := &Server{
		node: n, about: about, started: time.Now(),
		desk: o.Desk, operator: o.Operator, open: o.Open,
		census: o.Census, settings: o.Settings, reading: o.Reading,
		source: o.Source, walks: newWalks(),
		dial:  o.Dial,
		names: origin.NewRules(nil, o.Hosts), log: log, listener: listener,
		done: make(chan struct{}),
	}
	at, is := listener.Addr().(*net.TCPAddr)
	s.loopback = is && at.IP.IsLoopback()
	s.http = &http.Server{
		Handler:           s.bounded(s.called(s.routes(o.Pprof))),
		ConnState:         s.counted,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if s.streams.init(&o); s.source != nil {
		s.history.start(s.source)
	}
	go func() {
		defer close(s.done)
		// The error is always ErrServerClosed: Accept's other errors are retried.
		_ = s.http.Serve(netutil.LimitListener(listener, connections))
	}()
	if o.Pprof {
		log.Warn("profiles are served to whoever reaches this address: admin.pprof",
			"address", listener.Addr().String())
	}
	if s.open && !s.loopback {
		if _, anybody := s.desk.Anonymous(); anybody {
			log.Warn("whoever reaches this address may change the node: admin.operator",
				"address", listener.Addr().String())
		}
	}
	log.Info("listening", "transport", "admin", "address", listener.Addr().String())
	return s, nil
}

// counted follows how many connections there are.
func (s *Server) counted(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.count.Add(1)
	case http.StateClosed:
		s.count.Add(-1)
	}
}

// bounded has a connection end with its answer when there are many.
func (s *Server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.count.Load() > kept {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// listen binds an address. Where localhost or 127.0.0.1 is meant and there is no loopback address
// of version 4, it is that of version 6.
func listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host != "127.0.0.1" && !strings.EqualFold(host, "localhost") {
		return net.Listen("tcp", address)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		if l, err := net.Listen("tcp", net.JoinHostPort("::1", port)); err == nil {
			return l, nil
		}
	}
	return l, err
}

// Addr returns the bound address, "" when the listener is off.
func (s *Server) Addr() string {
	if s == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Close lets answers under way finish, for a moment and not after the end of ctx, and returns when
// nothing of the listener is left.
func (s *Server) Close(ctx context.Context) {
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	s.streams.end()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	s.streams.wait(ctx)
	s.history.stop()
	<-s.done
}
