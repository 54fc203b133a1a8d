package broker

import (
	"time"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/auth"
	"mbserver/server/config"
	"mbserver/server/system"
)

// Bounds that are not configuration: each has a name, a unit and a reason, and stands only here.
const (
	// turnMax is how many encoded bytes, and notes of where they are, a turn gathers before its
	// connections are written early. It keeps the frames in the CPU's cache and bounds their
	// memory, however much arrives in one batch, and for however many.
	turnMax = 256 << 10

	// sharedBodyMin is the payload size in bytes from which a fan-out's rings hold references to
	// one body; smaller frames are copied (measured: copying wins up to about 1 KiB, references
	// from about 4 KiB).
	sharedBodyMin = 4 << 10

	// inboxBytesMax bounds what waits for one loop and may be refused: publishes and requests. The
	// inboxes of all loops together hold at most 1/inboxShare of memory.limit. Two of the largest
	// messages always have room.
	inboxBytesMax = 16 << 20
	inboxShare    = 8

	// inboxTurn is bounds.inboxTurn. parcelBytes and parcelItems bound a parcel: few enough that
	// the other loop soon has work, many enough that handing over is nothing to each.
	inboxTurn   = 256 << 10
	parcelBytes = 256 << 10
	parcelItems = 1024

	// Beyond holdFrom eighths of an inbox connections that fill it with more than holdMessages at a
	// time are not read, beyond holdAll all that fill it. readOnMost of them are read on at once.
	holdFrom     = 4
	holdAll      = 7
	holdMessages = 4
	readOnMost   = 64

	// Each loop may be filling a parcel for each other one. All of them together are kept to
	// 1/parcelShare of an inbox, but for parcelBytesMin each: room that is not filled is not
	// charged.
	parcelShare    = 32
	parcelBytesMin = 16 << 10

	// spareBytes is how much empty parcels hold that a node keeps, and not more than half an inbox.
	spareBytes = 8 << 20

	// roomySpares is how many parcels may be in an inbox that hold much more than what is in them.
	roomySpares = 4

	// inboxKeep is how many parcels an empty inbox keeps room for.
	inboxKeep = 256

	// endsTurn is bounds.endsTurn: some hundred microseconds' worth of each kind.
	endsTurn = 256

	// lingerTime is how long a connection that is being closed may take to read its last messages
	// and close its side.
	lingerTime = 2 * time.Second

	// protectedReserve is the share (1/n) of a ring that only responses, errors and notices may
	// fill, so that a connection whose subscriptions overflow still gets its answers.
	protectedReserve = 16

	// protectedBytes and protectedMessages are the least of that share, in a small ring. The
	// messages come on top of connection.outbound.messages, the bytes are part of
	// connection.outbound.bytes.
	protectedBytes    = 16 << 10
	protectedMessages = 64

	// rerouteMax is how often a request is offered to another service because the chosen one had
	// left or stalled when it arrived.
	rerouteMax = 4

	// entriesKeep is how many entries of requests a loop keeps for reuse.
	entriesKeep = 1 << 12

	// evictSlackMin is the least of bounds.evictSlack.
	evictSlackMin = 16

	// waitTopicsMax is on how many topics one requester may wait on one loop: whatever waits is
	// looked up again when subscriptions change.
	waitTopicsMax = 1 << 10

	// Requests that wait hold at most 1/waitShare of memory.limit, so that what they hold never
	// has the node cut those that only read slowly.
	waitShare = 8

	// What is remembered for connections holds at most 1/rememberShare of memory.limit, for the
	// same reason.
	rememberShare = 8

	// Outstanding requests hold at most 1/outstandingShare of memory.limit, of outstandingBytes
	// each.
	outstandingShare = 8
	outstandingBytes = 512

	// traceBytesMax is how many bytes a loop's record of fates holds at most, and those of all
	// loops together 1/traceShare of memory.limit.
	traceBytesMax = 4 << 20
	traceShare    = 32

	// Input that a turn leaves over is read in smaller pieces beyond 1/restShare of memory.limit.
	restShare = 16

	// loopsMax and slotsMax are what a masked ID can address: loop and slot of an outstanding
	// request.
	loopsMax = 1 << 8
	slotsMax = 1 << 24

	// questionsMax is how many may wait for snapshots, of one connection questionsPerService;
	// jobsMax how many requests for other work beside the loops, of one connection jobsPerService.
	questionsMax        = 4096
	questionsPerService = 256
	jobsMax             = 256
	jobsPerService      = 4
)

// bounds are the configuration's limits in the units that the hot path uses, and what follows from
// them. Immutable.
type bounds struct {
	limits    ringbuf.Limits // of a ring
	droppable ringbuf.Limits // the part of it that publishes may fill
	owedHigh  ringbuf.Limits // of what a connection owes to itself: beyond, it is not read
	owedLow   ringbuf.Limits // down to which it is read again

	maxFrame   int // bytes
	authMax    int // bytes of a payload that holds a token
	authFrame  int // bytes of a frame of who may have to send one
	payloadMax int // bytes
	systemMax  int // bytes of a system request's payload
	subsMax    int // subscriptions of a connection
	endsTurn   int // steps that a turn takes of each kind of what ends (turn_ends.go)
	inboxBytes int // that may wait for one loop
	routeBytes int // that a loop remembers of routes, of publishes and requests each
	workLook   int // units of work between two looks at the clock
	writeLook  int // connections written between two looks at the clock
	inboxTurn  int // bytes of its inbox that a loop receives in one turn, and the rest of a parcel

	parcelBytes int // a parcel of so much is handed over before the turn's end
	parcelItems int

	timeoutMaxMs        uint64
	timeoutDefaultMs    int64
	heartbeatRetry      int64 // ms
	heartbeatDeregister int64 // ms
	backpressureMax     int64 // ms
	stallTimeout        int64 // ms
	authTimeout         int64 // ms

	maxOutstanding int64
	evictSlack     int64 // requests beyond it that stand until the loop of the oldest acts
	queuedPerTopic int
	waitTopics     int      // on which one requester may wait on one loop
	waitBytes      int64    // beyond which no more requests wait
	routesFree     int64    // bytes of routes that a loop is not charged
	traceBytes     int      // that a loop's record of fates holds at most
	traceEvery     int      // one of so many messages is looked at; 0: none
	restBytes      int64    // of input left over on one loop, beyond which less is read
	remembers      int64    // bytes that may be remembered for connections
	logBytes       int64    // of connections' events, beyond which no log grows
	spellBytes     int64    // of those and of spells, beyond which none is begun
	pastBytes      int64    // that a loop keeps of connections that have left
	deflateMin     int      // bytes: messages of fewer are not compressed
	deflateMax     int      // bytes: nor are those of more
	perService     int32    // requests of a service without maxConcurrent; 0 = any number
	overflow       delivery // of a subscription that chose none
}

// boundsOf derives the bounds of a node of that many loops from a valid configuration.
func boundsOf(cfg *config.Config, loops int) bounds {
	ring := ringbuf.Limits{
		Bytes: cfg.Connection.OutboundBytes, Messages: cfg.Connection.OutboundMessages,
	}
	reserve := max(ring.Bytes/protectedReserve, min(protectedBytes, ring.Bytes/4))
	b := bounds{
		droppable:           ringbuf.Limits{Bytes: ring.Bytes - reserve, Messages: ring.Messages},
		workLook:            workLook,
		writeLook:           writeLook,
		inboxTurn:           inboxTurn,
		endsTurn:            endsTurn,
		payloadMax:          cfg.Message.PayloadMaxLength,
		timeoutMaxMs:        uint64(cfg.Request.TimeoutMax.Milliseconds()),
		timeoutDefaultMs:    cfg.Request.TimeoutDefault.Milliseconds(),
		heartbeatRetry:      cfg.Connection.HeartbeatRetryTimeout.Milliseconds(),
		heartbeatDeregister: cfg.Connection.HeartbeatDeregisterTimeout.Milliseconds(),
		authTimeout:         cfg.Auth.Timeout.Milliseconds(),
		stallTimeout:        cfg.Connection.StallTimeout.Milliseconds(),
		owedHigh:            ringbuf.Limits{Bytes: ring.Bytes / 2, Messages: ring.Messages / 2},
		owedLow:             ringbuf.Limits{Bytes: ring.Bytes / 4, Messages: ring.Messages / 4},
		backpressureMax:     cfg.Connection.BackpressureMax.Milliseconds(),
		waitTopics:          waitTopicsMax,
		waitBytes:           int64(cfg.Memory.Limit) / waitShare,
		restBytes:           int64(cfg.Memory.Limit) / restShare / int64(loops),
		remembers:           int64(cfg.Memory.Limit) / rememberShare,
		traceBytes:          min(traceBytesMax, int(cfg.Memory.Limit)/traceShare/loops),
		traceEvery:          cfg.Explain.Sample,
		queuedPerTopic:      cfg.Max.QueuedPerTopic,
		deflateMin:          cfg.WS.Deflate.MinBytes,
		deflateMax:          cfg.WS.Deflate.MaxBytes,
		perService:          int32(cfg.Max.OutstandingPerService),
		overflow:            delivery(system.ParseOverflow(cfg.Connection.OutboundOverflow)),
	}
	b.maxOutstanding = min(int64(cfg.Max.OutstandingRequests),
		int64(cfg.Memory.Limit)/outstandingShare/outstandingBytes)
	b.evictSlack = max(b.maxOutstanding/16, evictSlackMin)
	b.systemMax = min(cfg.System.PayloadMaxLength, b.payloadMax)
	b.subsMax = cfg.Connection.MaxSubscriptions
	ring.Messages += max(ring.Messages/protectedReserve, protectedMessages)
	b.limits = ring
	b.maxFrame = b.payloadMax + codec.MaxHeaderLen(b.timeoutMaxMs)
	b.authMax = max(b.systemMax, auth.MaxToken+authRoom)
	b.authFrame = b.maxFrame - b.payloadMax + max(b.payloadMax, b.authMax)
	share := int(cfg.Memory.Limit) / inboxShare / loops
	b.routeBytes, b.routesFree = int(cfg.Memory.Limit)/routeShare/2/loops, routesFree
	b.inboxBytes = max(min(inboxBytesMax, share), 2*(b.maxFrame+itemCharge))
	b.parcelBytes = min(parcelBytes, max(b.inboxBytes/parcelShare/loops, parcelBytesMin))
	b.parcelItems = max(parcelItems*b.parcelBytes/parcelBytes, 1)
	memory := int64(cfg.Memory.Limit)
	b.logBytes, b.spellBytes = memory/logsShare, memory/spellsShare
	b.pastBytes = min(memory/pastsShare, pastsBytes) / int64(loops)
	return b
}
