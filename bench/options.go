package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Options say what is measured. Zero values are not defaults: see DefaultOptions.
type Options struct {
	Scenarios  []string // names or beginnings of names; empty: all
	Targets    []string // see Targets
	Transports []string // see Transports
	Payloads   []int    // bytes
	Duration   time.Duration
	Warmup     time.Duration
	Repeat     int
	Loops      []int // of the node: it is measured once with each number
	Procs      int   // GOMAXPROCS of every server
	ServerCore int   // processor of the server, -1: not pinned
	LoadCore   int   // processor of the generator, -1: not pinned

	Node    string   // binary of the node, mb-server
	Hub     []string // command line that runs package raw; the port is appended
	Peers   string   // folder of the peers from make bench-peers; the others are looked for in PATH
	Traffic string   // file of flights, one JSON object a line, for the scenario traffic

	Address map[string]string // a running node instead of Node: transport to host:port
	TLS     *tls.Config       // whom to trust there, over tls and wss
	PID     int               // of the running node, for its CPU time and memory; 0: not known

	Version string // of the harness, for the results
	// Progress is told of each measurement before it begins, and of what is left out.
	Progress func(line string)
}

// Bounds of Options.
const (
	minPayload  = 16
	maxPayload  = 64 << 10
	maxRepeat   = 100
	maxLoops    = 64
	maxProcs    = 256
	maxDuration = 10 * time.Minute
)

// DefaultOptions returns the settings of a full run against the node and the floor.
func DefaultOptions() Options {
	return Options{
		Targets: []string{"raw", node}, Transports: []string{"tcp", "ws"}, Payloads: []int{128},
		Duration: 2 * time.Second, Warmup: 500 * time.Millisecond, Repeat: 5,
		Loops: []int{1}, Procs: 1, ServerCore: 0, LoadCore: 1,
		Traffic: "server/blackbox/testdata/flights.ndjson",
	}
}

func (o *Options) validate() error {
	for _, t := range o.Targets {
		if !slices.Contains(Targets(), t) {
			return fmt.Errorf("unknown target %q: one of %v", t, Targets())
		}
	}
	for _, t := range o.Transports {
		if !slices.Contains(Transports(), t) {
			return fmt.Errorf("unknown transport %q: one of %v", t, Transports())
		}
		if overTLS(t) && o.Address != nil && o.TLS == nil {
			return fmt.Errorf("a running node over %s: nobody to trust", t)
		}
	}
	for _, n := range o.Payloads {
		if n < minPayload || n > maxPayload {
			return fmt.Errorf("payload of %d bytes: %d to %d", n, minPayload, maxPayload)
		}
	}
	switch {
	case len(o.Targets) == 0 || len(o.Transports) == 0 || len(o.Payloads) == 0:
		return errors.New("no target, transport or payload to measure")
	case o.Repeat < 1 || o.Repeat > maxRepeat:
		return fmt.Errorf("%d repetitions: 1 to %d", o.Repeat, maxRepeat)
	case o.Duration <= 0 || o.Duration > maxDuration || o.Warmup <= 0 || o.Warmup > maxDuration:
		return fmt.Errorf("duration %v, warm-up %v: over 0 up to %v",
			o.Duration, o.Warmup, maxDuration)
	}
	return o.validateLoops()
}

const mqttBroker = "mosquitto" //nolint:misspell // the broker is called so

// Targets lists what can be measured: the node, the floor and the peers.
func Targets() []string { return []string{node, "raw", "nats", "redis", mqttBroker, "centrifuge"} }

func (o *Options) say(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}
