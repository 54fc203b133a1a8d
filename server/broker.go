package server

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/server/limit"
	"mbserver/server/logging"
	"mbserver/server/metrics"
	"mbserver/server/system"
	"mbserver/topic"
)

// Options are what a Node is given beside its configuration.
type Options struct {
	Logger  *slog.Logger     // nil: slog.Default
	Logs    *logging.Handler // the handler behind Logger, for system.log; nil: there is no log stream
	Version string           // said in system.initialize
}

// Node is one message server. Its methods may be called by any goroutine.
type Node struct {
	// Immutable after New.
	cfg     config.Config
	log     *slog.Logger
	logs    *logging.Handler
	version string
	id      codec.UUID
	started time.Time
	trie    *topic.Trie[*service]
	loops   []*loop

	// Immutable after New.
	bounds
	pause bool          // acknowledged publishes wait for room
	rates *limit.Limits // nil when there is no rate limit

	// Immutable after Start.
	room  room
	door  *door
	admin *admin

	// Any goroutine.
	registry    registry
	arrivals    metrics.Connections
	throttle    logging.Throttle
	background  background
	audit       audit
	logStream   system.LogStream[*service]
	machine     metrics.Machine
	outstanding atomic.Int64 // requests delivered and not yet answered
	budget      budget
	paused      atomic.Int64  // publishers whose sockets are not read
	queued      atomic.Int64  // requests that wait for a service with room
	connections atomic.Int64  // in the door and in the room
	state       atomic.Int32  // nodeState
	empty       chan struct{} // a token when connections has come to zero
}

// New makes a node that does not listen yet.
func New(cfg config.Config, o Options) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	count := cfg.Loops
	if count == 0 {
		count = runtime.NumCPU()
	}
	if count > loopsMax {
		return nil, fmt.Errorf("loops: %d is more than the %d a node can have", count, loopsMax)
	}
	n := &Node{
		cfg: cfg, log: o.Logger, logs: o.Logs, version: o.Version,
		started:  time.Now(),
		trie:     topic.NewTrie[*service](),
		bounds:   boundsOf(&cfg, count),
		registry: registry{services: make(map[codec.UUID]*service)},
		empty:    make(chan struct{}, 1),
	}
	n.logStream.Logs, n.logStream.Send = o.Logs, n.sendLog
	var err error
	if n.rates, err = limit.New(limit.Settings{
		PerService: cfg.RateLimit.PerService, PerTopic: cfg.RateLimit.PerTopic, Total: cfg.RateLimit.Total,
		TopicPerService: cfg.RateLimit.TopicPerService,
	}, count); err != nil {
		return nil, err
	}
	n.room.node = n
	n.pause = pauseSupported && cfg.Connection.Backpressure == config.BackpressurePause
	n.budget.high = cfg.Memory.Limit / 100 * budgetHigh
	n.budget.low = cfg.Memory.Limit / 100 * budgetLow
	var seed [32]byte
	crand.Read(seed[:]) // never fails (crypto/rand)
	n.id = codec.NewUUID(binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:]))
	for i := range count {
		crand.Read(seed[:])
		n.loops = append(n.loops, newLoop(n, i, seed))
	}
	return n, nil
}
