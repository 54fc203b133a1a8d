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
	"mbserver/ringbuf"
	"mbserver/server/config"
	"mbserver/server/logging"
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

	// Immutable after New: limits, in the units the hot path uses.
	limits              ringbuf.Limits // of a ring
	droppable           ringbuf.Limits // the part of it that publishes may fill
	maxFrame            int            // bytes
	mailboxBytes        int            // bodies that may wait for one loop
	payloadMax          int            // bytes
	timeoutMaxMs        uint64
	timeoutDefaultMs    int64
	heartbeatRetry      int64 // ms
	heartbeatDeregister int64 // ms
	maxOutstanding      int64
	perService          int32    // requests one service may have that registered no maxConcurrent; 0 = any number
	overflow            delivery // of a subscription that chose none
	pause               bool     // acknowledged publishes wait for room
	rates               *rates   // nil when there is no rate limit

	// Immutable after Start.
	reactors []*reactor
	door     *door
	stall    *stallWatcher
	admin    *admin

	// Any goroutine.
	registry    registry
	stats       nodeStats
	noise       noise
	background  background
	audit       audit
	logStream   logStream
	machine     machine
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
		started: time.Now(),
		trie:    topic.NewTrie[*service](),
		limits: ringbuf.Limits{
			Bytes: cfg.Connection.OutboundBytes, Messages: cfg.Connection.OutboundMessages,
		},
		payloadMax:          cfg.Message.PayloadMaxLength,
		timeoutMaxMs:        uint64(cfg.Request.TimeoutMax.Milliseconds()),
		timeoutDefaultMs:    cfg.Request.TimeoutDefault.Milliseconds(),
		heartbeatRetry:      cfg.Connection.HeartbeatRetryTimeout.Milliseconds(),
		heartbeatDeregister: cfg.Connection.HeartbeatDeregisterTimeout.Milliseconds(),
		maxOutstanding:      int64(cfg.Max.OutstandingRequests),
		perService:          int32(cfg.Max.OutstandingPerService),
		overflow:            parseOverflow(cfg.Connection.OutboundOverflow),
		registry:            registry{services: make(map[codec.UUID]*service)},
		empty:               make(chan struct{}, 1),
	}
	n.logStream.logs = o.Logs
	var err error
	if n.rates, err = newRates(cfg.RateLimit); err != nil {
		return nil, err
	}
	n.pause = pauseSupported && cfg.Connection.Backpressure == config.BackpressurePause
	n.budget.high = cfg.Memory.Limit / 100 * budgetHigh
	n.budget.low = cfg.Memory.Limit / 100 * budgetLow
	n.maxFrame = n.payloadMax + codec.MaxHeaderLen(n.timeoutMaxMs)
	n.mailboxBytes = max(min(mailboxBytes, int(cfg.Memory.Limit)/mailboxShare/count), 2*n.maxFrame)
	n.droppable = ringbuf.Limits{
		Bytes:    n.limits.Bytes - max(n.limits.Bytes/protectedReserve, min(protectedBytes, n.limits.Bytes/4)),
		Messages: n.limits.Messages,
	}
	n.limits.Messages += max(n.limits.Messages/protectedReserve, protectedMessages)
	var seed [32]byte
	crand.Read(seed[:]) // never fails (crypto/rand)
	n.id = codec.NewUUID(binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:]))
	for i := range count {
		crand.Read(seed[:])
		n.loops = append(n.loops, newLoop(n, i, seed))
	}
	return n, nil
}
