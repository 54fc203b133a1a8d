package broker

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/server/config"
	"mbserver/server/limit"
	"mbserver/server/logging"
	"mbserver/server/metrics"
	"mbserver/server/system"
	"mbserver/topic"
)

// Options are what a Broker is given beside its configuration.
type Options struct {
	Logger   *slog.Logger     // nil: slog.Default
	Logs     *logging.Handler // behind Logger, for system.log; nil: there is no log stream
	Version  string           // said in system.initialize
	CanPause bool             // sockets can be left unread: connection.backpressure works
}

// Broker is what the loops of a node share: who is connected and subscribed, the limits, and the
// counts. Its methods may be called by any goroutine.
type Broker struct {
	// Immutable after New.
	log     *slog.Logger
	logs    *logging.Handler
	version string
	id      codec.UUID
	trie    *topic.Trie[*service]
	loops   []*Loop
	bounds
	canPause bool          // sockets can be left unread
	pause    bool          // acknowledged publishes wait for room
	rates    *limit.Limits // nil when there is no rate limit

	// Any goroutine.
	Arrivals    metrics.Connections // the door counts those that never came in
	Throttle    logging.Throttle    // for lines that clients can cause at will
	registry    registry
	spares      spares
	background  background
	audit       audit
	logStream   system.LogStream[*service]
	machine     metrics.Machine
	outstanding atomic.Int64 // requests delivered or queued, and not yet answered
	budget      budget
	paused      atomic.Int64  // publishers that back pressure holds
	queued      atomic.Int64  // requests that wait for a service with room
	connections atomic.Int64  // in the door and on the loops
	cut         atomic.Int64  // connections that the end of the node took something from
	leaving     atomic.Int64  // have left, and the trie still knows them
	state       atomic.Int32  // state
	empty       chan struct{} // a token when connections has come to zero
}

// New makes a broker whose loops nobody drives yet.
func New(cfg config.Config, o Options) (*Broker, error) {
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
	b := &Broker{
		log: o.Logger, logs: o.Logs, version: o.Version,
		trie:   topic.NewTrie[*service](),
		bounds: boundsOf(&cfg, count),
		empty:  make(chan struct{}, 1),
	}
	b.background.init(b)
	b.spares.most = min(parcelSpares, b.inboxBytes/parcelBytes)
	b.logStream.Logs, b.logStream.Send = o.Logs, b.sendLog
	var err error
	if b.rates, err = limit.New(limit.Settings{
		PerService: cfg.RateLimit.PerService, PerTopic: cfg.RateLimit.PerTopic,
		Total:           cfg.RateLimit.Total,
		TopicPerService: cfg.RateLimit.TopicPerService,
	}, count); err != nil {
		return nil, err
	}
	b.canPause = o.CanPause
	b.pause = o.CanPause && cfg.Connection.Backpressure == config.BackpressurePause
	b.budget.high = cfg.Memory.Limit / 100 * budgetHigh
	b.budget.low = cfg.Memory.Limit / 100 * budgetLow
	var seed [32]byte
	crand.Read(seed[:]) // never fails (crypto/rand)
	b.id = codec.NewUUID(binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:]))
	for i := range count {
		crand.Read(seed[:])
		b.loops = append(b.loops, newLoop(b, i, count, seed))
	}
	return b, nil
}

// Loops returns the node's loops, by Index.
func (b *Broker) Loops() []*Loop { return b.loops }

// ID returns the node's ID, which every connection is told.
func (b *Broker) ID() codec.UUID { return b.id }
