package admin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"mbserver/server/metrics"
)

// Node is what operators ask of a node. Any goroutine.
type Node interface {
	// Sample gathers the node's numbers.
	Sample(now time.Time) *metrics.Sample
	// Ready says whether new connections are welcome, and in one word why not.
	Ready() (ready bool, word string)
}

// About is what /metrics says of the node itself.
type About struct{ Version, NodeID string }

// Server is the operators' HTTP listener: /metrics, /livez and /readyz. It has no credentials: its
// address decides who may look. A nil Server is one that is off. Any goroutine.
type Server struct {
	// Immutable after Start.
	node     Node
	about    About
	listener net.Listener
	http     *http.Server
	metrics  *vm.Set
	done     chan struct{} // closed when the server's goroutine has ended
}

// Bounds of one request.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
	idleTimeout  = time.Minute
	closeTimeout = time.Second // what answers under way may take when the node stops
	headerBytes  = 8 << 10
)

// Start binds the address and serves it; an empty one gives nil. An error names the address.
func Start(address string, n Node, about About, log *slog.Logger) (*Server, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for admin on %s: %w", address, err)
	}
	s := &Server{
		node: n, about: about, listener: listener, metrics: vm.NewSet(), done: make(chan struct{}),
	}
	s.metrics.RegisterMetricsWriter(s.writeMetrics)
	// A pattern with GET takes HEAD too, and another method is answered 405.
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", s.serveMetrics)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answerPlain(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", s.serveReady)
	log = log.With("module", "admin")
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // always ErrServerClosed: Accept's other errors are retried
	}()
	log.Info("listening", "transport", "admin", "address", listener.Addr().String())
	return s, nil
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
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	<-s.done
}

func answerPlain(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, word+"\n")
}

// serveReady says whether new connections are welcome.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	ready, word := s.node.Ready()
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	answerPlain(w, status, word)
}
