package broker

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/config"
	"mbserver/server/limit"
	"mbserver/server/logging"
	"mbserver/server/metrics"
	"mbserver/server/system"
	"mbserver/server/trouble"
	"mbserver/topic"
)

// Options are what a Broker is given beside its configuration.
type Options struct {
	Logger  *slog.Logger     // nil: slog.Default
	Logs    *logging.Handler // behind Logger, for system.log; nil: there is no log stream
	Version string           // said in system.initialize

	Authority *Authority            // nil: the node asks nobody
	Trusted   func(netip.Addr) bool // addresses that are never locked out; nil: none
	Echo      bool                  // each message goes back to its sender (conn_echo.go)

	// Drain has connections leave while the node goes on, rate a second (0: as configured), Undrain
	// ends that. They are called beside the loops. Nil: the node cannot be asked for it.
	Drain   func(rate int) error
	Undrain func() error
}

// Broker is what the loops of a node share: who is connected and subscribed, the limits, and the
// counts. Its methods may be called by any goroutine.
type Broker struct {
	// Immutable after New.
	log     *slog.Logger
	modules modules
	logs    *logging.Handler
	version string
	id      codec.UUID
	trie    *topic.Trie[*service]
	loops   []*Loop
	bounds
	rates   *limit.Limits         // nil when there is no rate limit
	trusted func(netip.Addr) bool // proxies: never locked out
	echo    bool                  // each message goes back to its sender

	operators bool // who does not say who it is may act on others (admin.operator)
	drainer   func(rate int) error
	undrainer func() error

	// Immutable after the loops' Attach.
	canPause bool    // sockets can be left unread
	cluster  Cluster // nil: the node is alone
	others   *others // of the cluster; nil too

	clusterName, clusterNode string // "": the node is alone
	pause                    bool   // acknowledged publishes wait for room

	// Any goroutine.
	Arrivals    metrics.Connections // the door counts those that never came in
	Visitors    atomic.Int64        // in the door: in their handshake, or being told why not
	Arriving    atomic.Int64        // bytes that those hold
	Sessions    atomic.Int64        // bytes that the TLS sessions of connections hold
	TLS         metrics.TLS         // what becomes of TLS handshakes
	Admission   metrics.Admission   // whom the door has wait, or refuses, and when it pauses
	Throttle    logging.Throttle    // for lines that clients can cause at will
	Refusals    trouble.Spells      // newcomers that the door has refused, by its reasons
	Failures    trouble.Spells      // handshakes that came to nothing, by why
	ills        ills
	registry    registry
	spares      spares
	background  background
	census      takings
	topics      topicTakings
	Desk        Desk
	authority   atomic.Pointer[Authority]
	identities  places[string] // connections of each identity, when their number is bounded
	audit       audit
	watches     watches
	arming      arming
	inquests    atomic.Int32 // questions for messages that are under way
	logStream   system.LogStream[*service]
	machine     metrics.Machine
	outstanding atomic.Int64 // requests delivered or queued, and not yet answered
	budget      budget
	paused      atomic.Int64 // publishers that back pressure holds
	unread      unread
	unmatched   atomic.Uint64 // what other nodes sent of requests that no loop takes
	queued      atomic.Int64  // requests that wait for a service with room
	queuedBytes atomic.Int64  // what these are charged
	remembered  atomic.Int64  // bytes: subscriptions, profiles, log filters
	stories     atomic.Int64  // bytes: events and spells of connections
	connections atomic.Int64  // on the loops, and on their way there
	places      atomic.Int64  // how many of those there may be
	addresses   addresses     // whose they are
	cut         atomic.Int64  // connections that the end of the node took something from
	cutBefore   atomic.Int64  // of these, those of a drain that was not the end
	leaving     atomic.Int64  // have left, and the trie still knows them
	clients     atomic.Int64  // open connections without subscriptions for requests
	serving     atomic.Int64  // and with such
	going       atomic.Int64  // open connections that were told when to go
	departing   atomic.Bool   // there is a drain, or has been
	unreadyAt   atomic.Int64  // Unix ms: since when it is not ready
	openedAt    atomic.Int64  // Unix ms
	asked       atomic.Int64  // Unix ms: when somebody last asked whether the node is ready
	state       atomic.Int32  // state
	works       chan struct{} // a token when a loop has worked
	empty       chan struct{} // a token when connections has come to zero
}

// unread counts the connections that are not read, by reason, beside paused.
type unread struct {
	owing, filling atomic.Int64
	cut            atomic.Uint64 // those that were closed for connection.stallTimeout, ever
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
		modules:   modulesOf(o.Logger),
		trie:      topic.NewTrie[*service](),
		bounds:    boundsOf(&cfg, count),
		echo:      o.Echo,
		operators: cfg.Admin.Operator, drainer: o.Drain, undrainer: o.Undrain,
		works: make(chan struct{}, 1),
		empty: make(chan struct{}, 1),
	}
	if b.trusted = o.Trusted; b.trusted == nil {
		b.trusted = func(netip.Addr) bool { return false }
	}
	b.Desk.init(b, auth.NewLockout(cfg.Auth.LockoutThreshold, cfg.Auth.LockoutDuration))
	b.authority.Store(o.Authority)
	b.identities.most = cfg.Connection.MaxPerIdentity
	if b.echo {
		b.maxFrame = b.payloadMax // a message is all payload
	}
	b.background.init(b)
	b.spares.most = min(spareBytes, b.inboxBytes/2)
	b.spares.bytes, b.spares.items = b.parcelBytes+b.parcelBytes/2, 2*b.parcelItems
	b.logStream.Logs, b.logStream.Send = o.Logs, b.sendLog
	var err error
	if b.rates, err = limit.New(limit.Settings{
		PerService: cfg.RateLimit.PerService, PerTopic: cfg.RateLimit.PerTopic,
		Total:           cfg.RateLimit.Total,
		TopicPerService: cfg.RateLimit.TopicPerService,
	}, count); err != nil {
		return nil, err
	}
	b.canPause = true
	b.pause = cfg.Connection.Backpressure == config.BackpressurePause
	b.places.Store(int64(cfg.Connection.MaxConcurrent))
	b.addresses.most = cfg.Connection.MaxPerAddress
	b.budget.set(cfg.Memory.Limit)
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
