//go:build linux

package bench

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mbserver/bench/raw"
	"mbserver/server"
	"mbserver/server/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short is a run of a few milliseconds in this process: nothing is pinned, no figure means
// anything.
func short(t *testing.T, names ...string) Options {
	t.Helper()
	// The generator keeps its processor while it waits: the server in this process needs others.
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(before, 4))
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	return Options{
		Scenarios: names, Targets: []string{"mb"}, Transports: []string{"tcp", "ws"},
		Payloads: []int{128}, Duration: 20 * time.Millisecond, Warmup: 10 * time.Millisecond,
		Repeat: 1, Loops: []int{1}, Procs: 1, ServerCore: -1, LoadCore: -1, PID: os.Getpid(),
		Traffic: filepath.Join("..", "server", "blackbox", "testdata", "flights.ndjson"),
	}
}

// startNode returns a node's addresses by transport; shown is its certificate over TLS, or nil.
func startNode(t *testing.T, loops int, shown *certificate) map[string]string {
	t.Helper()
	cfg := config.Default()
	cfg.WS.Deflate.Enabled = true // for who offers it
	cfg.Host, cfg.Admin.Address, cfg.Loops = "127.0.0.1", "", loops
	cfg.Ports = config.Ports{WS: config.AnyPort, TCP: config.AnyPort}
	if shown != nil {
		cfg.Ports.WSS, cfg.Ports.TLS = config.AnyPort, config.AnyPort
		cfg.SSL.Cert, cfg.SSL.Key = shown.cert, shown.key
	}
	cfg.Message.PayloadMaxLength, cfg.Shutdown.Spread = maxPayload, 0
	// As equip has it: a node that asks for a sign of life would be told of as bytes too many.
	cfg.Connection.HeartbeatRetryTimeout = time.Hour
	cfg.Connection.HeartbeatDeregisterTimeout = 2 * time.Hour
	n, err := server.New(cfg, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = n.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	addresses := map[string]string{"tcp": n.Addr("tcp"), "ws": n.Addr("ws")}
	if shown != nil {
		addresses["tls"], addresses["wss"] = n.Addr("tls"), n.Addr("wss")
	}
	return addresses
}

// As TestSmoke, over TLS, with whole handshakes.
func TestSmokeSecure(t *testing.T) {
	shown, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shown.remove)
	o := short(t, "fan-out/1", "fan-out/10", "lone/1", "request/1x256", "latency", "traffic")
	o.Transports = []string{"tls", "wss"}
	o.Address = startNode(t, 1, shown)
	o.TLS = &tls.Config{RootCAs: shown.trust, ServerName: "127.0.0.1"}
	smoke(t, o)
}

func TestSmoke(t *testing.T) {
	o := short(t, "fan-out/1", "fan-out/10", "lone", "pairs", "fan-in", "request", "services",
		"latency", "traffic", "wildcards")
	o.Address = startNode(t, 1, nil)
	r := smoke(t, o)
	for _, metric := range []string{metricP50, metricP999, metricMax} {
		if m := r.find("latency/100", "mb", "tcp", 128, metric); m == nil || m.Median() <= 0 {
			t.Errorf("%s: %+v", metric, m)
		}
	}
}

// smoke runs o, and every scenario has a figure over every transport.
func smoke(t *testing.T, o Options) *Results {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	scenarios, err := selected(o.Scenarios)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		for _, transport := range o.Transports {
			m := r.find(s.Name, "mb", transport, 128, metricCPU)
			if m == nil || len(m.Values) != o.Repeat || m.Median() <= 0 {
				t.Errorf("%s over %s: %+v", s.Name, transport, m)
			}
		}
	}
	if r.Machine.Cores == 0 || len(r.Notes) > 0 {
		t.Errorf("machine %+v, notes %q", r.Machine, r.Notes)
	}
	return r
}

// The floor in this process: the generator's own loops over payloads of all sizes.
func TestSmokeRaw(t *testing.T) {
	h, err := raw.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx) }()
	o := short(t)
	o.Targets = []string{"raw"}
	r := &runner{Options: o, results: &Results{}}
	for _, name := range []string{"fan-out/10", "pairs/50", "request/1x256", "services/16"} {
		for _, payload := range []int{minPayload, maxPayload} {
			s, err := selected([]string{name})
			if err != nil {
				t.Fatal(err)
			}
			l, err := newLoop(ctx, rawWire{})
			if err != nil {
				t.Fatal(err)
			}
			try := &try{
				runner: r, s: s[0], server: &process{pid: os.Getpid()}, loop: l, wire: rawWire{},
				payload: payload, at: place{address: h.Addr()},
				into: Measure{Scenario: name, Target: "raw", Transport: "tcp", Payload: payload},
			}
			if err := try.run(); err != nil {
				t.Errorf("%s, %d bytes: %v", name, payload, err)
			}
			l.close()
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A message that nobody sent is not counted as one that somebody did.
func TestExact(t *testing.T) {
	c := &conn{share: 10}
	s := &stream{subscribers: []*conn{c}, window: 1}
	s.begin()
	l := &loop{}
	s.sent = 1
	c.in = 10
	s.reached(l)
	if s.done != 1 || len(l.ready) != 1 {
		t.Errorf("done %d, ready %d", s.done, len(l.ready))
	}
	if err := exact([]*stream{s}); err != nil {
		t.Error(err)
	}
	c.in++
	if exact([]*stream{s}) == nil {
		t.Error("a surplus byte is no error")
	}
}
