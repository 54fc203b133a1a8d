package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"mbserver/server/metrics"
)

// admin is the operators' HTTP listener: /metrics, /livez and /readyz. It has no credentials: its address decides who
// may look. A nil admin is one that is off.
type admin struct {
	// Immutable after startAdmin.
	node     *Node
	listener net.Listener
	server   *http.Server
	metrics  *vm.Set
	done     chan struct{} // closed when the server's goroutine has ended
}

// Bounds of one admin request.
const (
	adminReadTimeout  = 5 * time.Second
	adminWriteTimeout = 10 * time.Second
	adminIdleTimeout  = time.Minute
	adminCloseTimeout = time.Second // what answers under way may take when the node stops
	adminHeaderBytes  = 8 << 10
)

// startAdmin binds admin.address and serves it. An error names the address.
func startAdmin(n *Node) (*admin, error) {
	address := n.cfg.Admin.Address
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for admin on %s: %w", address, err)
	}
	a := &admin{node: n, listener: listener, metrics: vm.NewSet(), done: make(chan struct{})}
	a.metrics.RegisterMetricsWriter(n.writeMetrics)
	mux := http.NewServeMux() // a pattern with GET takes HEAD too, and another method is answered 405
	mux.HandleFunc("GET /metrics", a.serveMetrics)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answerPlain(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", a.serveReady)
	log := n.log.With("module", "admin")
	a.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: adminReadTimeout,
		ReadTimeout:       adminReadTimeout,
		WriteTimeout:      adminWriteTimeout,
		IdleTimeout:       adminIdleTimeout,
		MaxHeaderBytes:    adminHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	go func() {
		defer close(a.done)
		_ = a.server.Serve(listener) // always ErrServerClosed: Accept's other errors are retried
	}()
	log.Info("listening", "transport", "admin", "address", listener.Addr().String())
	return a, nil
}

// addr returns the bound address, "" when the listener is off.
func (a *admin) addr() string {
	if a == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// close lets answers under way finish, for a moment, and returns when nothing of the listener is left.
func (a *admin) close() {
	if a == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminCloseTimeout)
	defer cancel()
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close()
	}
	<-a.done
}

func answerPlain(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, word+"\n")
}

// serveReady says whether new connections are welcome.
func (a *admin) serveReady(w http.ResponseWriter, _ *http.Request) {
	switch nodeState(a.node.state.Load()) {
	case nodeAccepting:
		answerPlain(w, http.StatusOK, "ok")
	case nodeDraining:
		answerPlain(w, http.StatusServiceUnavailable, "draining")
	default:
		answerPlain(w, http.StatusServiceUnavailable, "stopped")
	}
}

// serveMetrics answers in the Prometheus text format.
func (a *admin) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	a.metrics.WritePrometheus(&b)
	vm.WriteProcessMetrics(&b)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

// writeMetrics writes the node's own metrics. All come from one sample, so that they fit together.
func (n *Node) writeMetrics(w io.Writer) {
	s := n.Sample(time.Now())
	for i := range metrics.Table {
		m := &metrics.Table[i]
		switch {
		case m.Export == "":
		case strings.HasSuffix(m.Export, "_total"):
			vm.WriteCounterUint64(w, m.Export, uint64(m.Value(s)))
		default:
			vm.WriteGaugeFloat64(w, m.Export, m.Value(s))
		}
	}
	for _, c := range s.Machine.Cores {
		vm.WriteGaugeFloat64(w, "mb_system_core_cpu_ratio{core="+strconv.Quote(c.Name)+"}", c.CPU)
	}
	vm.WriteGaugeUint64(w, "mb_info{version="+strconv.Quote(n.version)+",node="+strconv.Quote(n.id.String())+"}", 1)
}
