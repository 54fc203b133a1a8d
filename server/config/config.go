// Package config holds the node's configuration: one table of keys (keys.go), from which the
// defaults, the environment names, the flags, the checks and the printed form all come, and the
// code that layers flags over environment over file over defaults (protocol §9).
//
// It knows neither the codec nor the topics' trie; certificates it has looked at by who loads them
// (server/secure).
package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"mbserver/server/secure"
)

// Config is the whole configuration of one node. The zero value is not usable; start from Default
// or Load. It is a plain value: copy it freely, but treat its maps and lists as read only.
type Config struct {
	Ports         Ports
	Host          string // "localhost" = every loopback address, "" = all addresses
	AllowUnsecure bool   // plaintext listeners on a host that is not loopback
	SSL           SSL
	Logging       Logging
	Auth          Auth
	Permissions   Permissions
	RateLimit     RateLimit
	Connection    Connection
	Admission     Admission
	WS            WS
	Explain       Explain
	Proxy         Proxy
	Request       Request
	Max           Max
	Message       Message
	System        System
	Memory        Memory
	Admin         Admin
	Monitoring    Monitoring
	Shutdown      Shutdown
	Cluster       Cluster
	Loops         int // reactor loops; 0 = as many as CPUs
}

// AnyPort lets the kernel pick a free port. It is for programs that embed a node; flags,
// environment and file refuse it.
const AnyPort = -1

// Ports are the listeners' ports; 0 turns a listener off.
type Ports struct{ WS, WSS, TCP, TLS int }

// SSL names the PEM files of the certificate chain and its key. Both or neither.
type SSL struct{ Key, Cert string }

// Logging says what is written and how.
type Logging struct {
	Level  slog.Level
	Format string // FormatJSON, FormatText or FormatAuto
	File   string // path; "" = standard output
}

// RateLimit holds rates in messages per second; 0 = no limit.
type RateLimit struct {
	PerService int // of one service
	PerTopic   int // on one topic, all services together
	Total      int // of the whole node
	// TopicPerService is the rate of one service on all topics that match, by topic pattern in its
	// canonical (lower-case) form.
	TopicPerService map[string]int
	Role            RoleRates // of one service that has a role, by role
}

// Connection bounds every single connection and their number.
type Connection struct {
	MaxConcurrent              int // connections of all kinds
	MaxPerAddress              int // of one client address, IPv6: of one /64; 0 = no limit
	MaxPerIdentity             int // connections of one identity; 0 = no limit
	MaxSubscriptions           int // of one connection, each kind counted
	HeartbeatRetryTimeout      time.Duration
	HeartbeatDeregisterTimeout time.Duration
	StallTimeout               time.Duration // without a byte acknowledged, while it is not read
	HandshakeTimeout           time.Duration // accept to established, TLS and HTTP included
	OutboundBytes              int           // of one connection's outbound ring
	OutboundMessages           int           // in one connection's outbound ring
	OutboundOverflow           string        // OverflowDrop, OverflowDropOldest, OverflowDisconnect
	Backpressure               string        // BackpressureOff or BackpressurePause
	BackpressureMax            time.Duration // longest pause of a publisher
}

// Admission paces arrivals.
type Admission struct {
	Rate int // new connections a second; 0 = no limit
}

// Values of connection.outbound.overflow.
const (
	OverflowDrop       = "drop"
	OverflowDropOldest = "drop-oldest"
	OverflowDisconnect = "disconnect"
)

// Values of connection.backpressure.
const (
	BackpressureOff   = "off"
	BackpressurePause = "pause"
)

// WS says which web pages may connect (protocol §10). Elements are in the forms that package origin
// compares.
type WS struct {
	Origins []string // beside those of the node's own name; origin.Any: every one
	Hosts   []string // names of the node beside those of loopback, for loopback listeners
	Deflate Deflate
}

// Proxy says which balancers the node believes who they speak for.
type Proxy struct {
	Trusted  []netip.Prefix
	Protocol ProxyProtocol
}

// ProxyProtocol says for each listener whether connections of trusted balancers begin with a PROXY
// header: ProxyRequired, ProxyOptional or ProxyOff.
type ProxyProtocol struct{ WS, WSS, TCP, TLS string }

// Values of proxy.protocol.
const (
	ProxyRequired = "required"
	ProxyOptional = "optional"
	ProxyOff      = "off"
)

// Values of logging.format.
const (
	FormatJSON = "json"
	FormatText = "text"
	FormatAuto = "auto" // text on a terminal, else JSON
)

// Request holds the deadlines of requests.
type Request struct {
	TimeoutDefault time.Duration // when the header gives none
	TimeoutMax     time.Duration // the largest a header may give
}

// Max bounds requests in the node.
type Max struct {
	OutstandingRequests   int // delivered or queued and not yet answered, in the node
	OutstandingPerService int // in flight to one target without a maxConcurrent; 0 = no limit
	QueuedPerTopic        int // waiting on one topic
}

// Message bounds one message.
type Message struct {
	PayloadMaxLength int // bytes
}

// Explain is what system.explain can tell of messages that nobody armed for.
type Explain struct {
	Sample int // one of so many messages of each loop is recorded; 0: none
}

// Deflate is permessage-deflate (RFC 7692).
type Deflate struct {
	Enabled  bool
	MinBytes int // of a message, header included: smaller ones leave uncompressed
	MaxBytes int // larger ones do, too
}

// System bounds one request to the node itself.
type System struct {
	PayloadMaxLength int // bytes; message.payload.maxLength bounds it too
}

// Memory bounds rings, queues, inboxes and partial frames together.
type Memory struct {
	Limit int64 // bytes
}

// Admin is the operators' HTTP listener.
type Admin struct {
	Address string // host:port; "" turns it off
	Pprof   bool   // serve profiles there too
	Agent   string // host:port where balancers are told a weight; "" turns it off

	Hosts    []string // names beside those of loopback by which it may be called
	Operator bool     // who gives no credentials may change the node there too
}

// Monitoring paces the node's own measurements.
type Monitoring struct {
	Interval time.Duration
}

// Shutdown bounds draining.
type Shutdown struct {
	Timeout time.Duration // 0 = close at once
	Delay   time.Duration // Auto: depends on the signal
	Spread  time.Duration
	Rate    int // connections a second
	Grace   time.Duration
}

// Auto is a time that the key's word stands for.
const Auto = -time.Millisecond

const autoWord = "auto"

// slotReserve is what lies between the last connection that is told to go and the end of
// shutdown.timeout (protocol §11).
const slotReserve = 5 * time.Second

// DelayAfter is how long readiness fails before all else, after SIGTERM or another signal. It
// leaves the time for slots, where there is any, and else half of all.
func (s Shutdown) DelayAfter(terminated bool) time.Duration {
	d := s.Delay
	if d == Auto {
		if d = 0; terminated {
			d = 3 * time.Second
		}
	}
	return min(d, max(s.Timeout-slotReserve, s.Timeout/2))
}

// warnings says what of a drain does not fit into its time, and what is done then.
func (s Shutdown) warnings() (ws []string) {
	delay := s.Delay
	if delay == Auto {
		delay = 3 * time.Second
	}
	say := func(format string, args ...any) { ws = append(ws, fmt.Sprintf(format, args...)) }
	if fits := s.DelayAfter(true); fits < delay && s.Timeout > 0 && s.Delay != Auto {
		say("shutdown.delay = %v leaves no time of shutdown.timeout = %v for connections: only %v "+
			"is waited", delay, s.Timeout, fits)
	}
	all := delay + s.Spread + s.Grace
	switch {
	case s.Timeout == 0:
	case s.Timeout <= slotReserve && s.Spread > 0:
		say("shutdown.timeout = %v is no more than %v: all connections are told to go at once, "+
			"shutdown.spread does not count", s.Timeout, slotReserve)
	case all > s.Timeout:
		say("shutdown.delay + shutdown.spread + shutdown.grace = %v is more than "+
			"shutdown.timeout = %v: connections are told to go until %v, and what is outstanding "+
			"at the end is cut, whatever of its grace is left", all, s.Timeout,
			min(max(s.Timeout-slotReserve, 0), delay+s.Spread))
	}
	return ws
}

// frameOverhead is what a frame may hold beside its payload: it is above the longest header line
// the wire contract allows (protocol §2), with its newline.
const frameOverhead = 512

// MaxFrame returns an upper bound in bytes of the largest frame a peer may send:
// payload and header line.
func (c Config) MaxFrame() int { return c.Message.PayloadMaxLength + frameOverhead }

// CertificateFiles returns what TLS is served with.
func (c Config) CertificateFiles() secure.Files {
	return secure.Files{
		Certificate: c.SSL.Cert, Key: c.SSL.Key,
		ClientCA: c.Auth.Certificate.CA, Required: c.Auth.Certificate.Required,
	}
}

// TLS reports whether a certificate is configured.
func (c Config) TLS() bool { return c.SSL.Cert != "" && c.SSL.Key != "" }

// Warnings lists, in sentences, what is legal but will surprise the operator.
func (c Config) Warnings() []string {
	var ws []string
	standard := Default()
	for i := range keys {
		k := &keys[i]
		if k.Pending && k.yaml(&c) != k.yaml(&standard) {
			ws = append(ws,
				fmt.Sprintf("%s = %s has no effect in this version", k.Name, k.yaml(&c)))
		}
	}
	for _, p := range c.Proxy.Trusted {
		if p.Bits() == 0 {
			ws = append(ws, fmt.Sprintf("proxy.trusted has %s: whoever can connect is believed to "+
				"speak for whomever it says", p))
		}
	}
	return append(ws, c.Shutdown.warnings()...)
}

// NotLive returns the keys in which another configuration differs from c and that take effect only
// at a start.
func (c *Config) NotLive(other *Config) (names []string) {
	for i := range keys {
		if k := &keys[i]; !k.Live && k.yaml(c) != k.yaml(other) {
			names = append(names, k.Name)
		}
	}
	return names
}

// Files are those whose content the configuration depends on, without its own.
func (c *Config) Files() (paths []string) {
	all := []string{c.SSL.Key, c.SSL.Cert, c.Auth.Certificate.CA, c.Auth.JWT.Keys.Set}
	for _, k := range c.Auth.JWT.Keys.Files {
		all = append(all, k.File)
	}
	for _, path := range all {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}
