package config

import (
	"math"
	"slices"
	"time"
)

// keys is the one place where a limit's name, unit, range and default stand.
var keys = slices.Concat(nodeKeys, clusterKeys)

var nodeKeys = []Key{
	{Name: "ports.ws", Env: "WS_PORT", Flag: "ws-port", Default: "3000", max: maxPort,
		at:  func(c *Config) any { return &c.Ports.WS },
		Doc: "port of the WebSocket listener, 0 turns it off"},
	{Name: "ports.wss", Env: "WSS_PORT", Flag: "wss-port", Default: "8000", max: maxPort,
		at:  func(c *Config) any { return &c.Ports.WSS },
		Doc: "port of the WebSocket listener over TLS, 0 turns it off"},
	{Name: "ports.tcp", Env: "TCP_PORT", Flag: "tcp-port", Default: "3001", max: maxPort,
		at:  func(c *Config) any { return &c.Ports.TCP },
		Doc: "port of the TCP listener, 0 turns it off"},
	{Name: "ports.tls", Env: "TLS_PORT", Flag: "tls-port", Default: "8001", max: maxPort,
		at:  func(c *Config) any { return &c.Ports.TLS },
		Doc: "port of the TCP listener over TLS, 0 turns it off"},
	{Name: "host", Env: "HOST", Flag: "host", Default: "localhost", kind: kindString,
		at: func(c *Config) any { return &c.Host },
		Doc: "host name or address to listen on: localhost binds every loopback address, " +
			"empty binds all"},
	{Name: "allowUnsecure", Env: "ALLOW_UNSECURE", Flag: "allow-unsecure", Default: "false",
		kind: kindBool,
		at:   func(c *Config) any { return &c.AllowUnsecure },
		Doc:  "permit plaintext listeners on a host that is not loopback"},
	{Name: "ssl.key", Env: "SSL_KEY", Flag: "ssl-key", kind: kindString,
		at:  func(c *Config) any { return &c.SSL.Key },
		Doc: "path of the PEM file with the private key"},
	{Name: "ssl.cert", Env: "SSL_CERT", Flag: "ssl-cert", kind: kindString,
		at:  func(c *Config) any { return &c.SSL.Cert },
		Doc: "path of the PEM file with the certificate chain"},
	{Name: "logging.level", Env: "LOG_LEVEL", Flag: "log-level", Default: "info", kind: kindLevel,
		values: []string{"debug", "info", "warn", "error"},
		at:     func(c *Config) any { return &c.Logging.Level },
		Doc:    "least severe level that is written: debug, info, warn or error"},
	{Name: "logging.format", Env: "LOG_FORMAT", Flag: "log-format", Default: FormatAuto,
		kind: kindEnum, values: []string{FormatJSON, FormatText, FormatAuto},
		at:  func(c *Config) any { return &c.Logging.Format },
		Doc: "form of a log line: json, text, or auto: text on a terminal, else json"},
	{Name: "logging.file", Env: "LOG_FILE", Flag: "log-file", kind: kindString,
		at: func(c *Config) any { return &c.Logging.File },
		Doc: "path of a file that log lines are appended to, opened again at SIGHUP; " +
			"empty: standard output"},
	{Name: "auth.required", Live: true, Env: "AUTH_REQUIRED", Default: RequiredAuto, kind: kindEnum,
		values: []string{RequiredAuto, RequiredTrue, RequiredFalse},
		at:     func(c *Config) any { return &c.Auth.Required },
		Doc: "true: who is not authenticated may do nothing; false: who gives no credentials is " +
			"anonymous; auto: true as soon as tokens, keys or an authority are configured"},
	{Name: "auth.timeout", Env: "AUTH_TIMEOUT", Unit: "ms", Default: "5000", kind: kindMillis,
		min: 1, max: maxMs,
		at:  func(c *Config) any { return &c.Auth.Timeout },
		Doc: "from system.initialize to authenticated, where that is required"},
	{Name: "auth.tokens", Live: true, Env: "AUTH_TOKENS", kind: kindTree,
		at: func(c *Config) any { return &c.Auth.Tokens },
		Doc: "list of {identity, sha256, roles, expires}: tokens by their hash, as mb token new " +
			"prints it"},
	{Name: "auth.jwt.keys", Live: true, Env: "AUTH_JWT_KEYS", kind: kindTree,
		at: func(c *Config) any { return &c.Auth.JWT.Keys },
		Doc: "path of a JSON Web Key Set, or list of {kid, alg, file}: what signed tokens are " +
			"checked with"},
	{Name: "auth.jwt.issuer", Live: true, Env: "AUTH_JWT_ISSUER", kind: kindString,
		at:  func(c *Config) any { return &c.Auth.JWT.Issuer },
		Doc: "iss that a signed token must have, empty: any"},
	{Name: "auth.jwt.audience", Live: true, Env: "AUTH_JWT_AUDIENCE", kind: kindString,
		at:  func(c *Config) any { return &c.Auth.JWT.Audience },
		Doc: "aud that a signed token must have, empty: any"},
	{Name: "auth.jwt.leeway", Live: true, Env: "AUTH_JWT_LEEWAY", Unit: "ms", Default: "30000",
		kind: kindMillis, max: maxMs,
		at:  func(c *Config) any { return &c.Auth.JWT.Leeway },
		Doc: "how far clocks of who signs tokens may differ; a token ends that much after its exp"},
	{Name: "auth.jwt.identityClaim", Live: true, Env: "AUTH_JWT_IDENTITY_CLAIM", Default: "sub",
		kind: kindString,
		at:   func(c *Config) any { return &c.Auth.JWT.IdentityClaim },
		Doc:  "claim that is the identity"},
	{Name: "auth.jwt.rolesClaim", Live: true, Env: "AUTH_JWT_ROLES_CLAIM",
		Default: "roles", kind: kindString,
		at:  func(c *Config) any { return &c.Auth.JWT.RolesClaim },
		Doc: "claim that names roles, a list or one"},
	{Name: "auth.certificate.ca", Live: true, Env: "AUTH_CERTIFICATE_CA", kind: kindString,
		at:  func(c *Config) any { return &c.Auth.Certificate.CA },
		Doc: "path of the PEM file of authorities whose clients' certificates are accepted"},
	{Name: "auth.certificate.required", Env: "AUTH_CERTIFICATE_REQUIRED", Default: "false",
		kind: kindBool,
		at:   func(c *Config) any { return &c.Auth.Certificate.Required },
		Doc:  "refuse a TLS handshake without a client's certificate"},
	{Name: "auth.certificate.identity", Live: true, Env: "AUTH_CERTIFICATE_IDENTITY",
		Default: "subject",
		kind:    kindEnum, values: []string{"subject", "cn", "san"},
		at:  func(c *Config) any { return &c.Auth.Certificate.Identity },
		Doc: "what of a certificate is the identity: subject, cn or (the first) san"},
	{Name: "auth.failure.lockout.threshold", Env: "AUTH_FAILURE_LOCKOUT_THRESHOLD",
		Unit: "failures", Default: "5", max: maxCount,
		at:  func(c *Config) any { return &c.Auth.LockoutThreshold },
		Doc: "failed authentications of one client address before it is locked out, 0 = never"},
	{Name: "auth.failure.lockout.duration", Env: "AUTH_FAILURE_LOCKOUT_DURATION",
		Unit: "s", Default: "60", kind: kindSecond, min: 1, max: maxMs / 1000,
		at:  func(c *Config) any { return &c.Auth.LockoutDuration },
		Doc: "how long a client address stays locked out"},
	{Name: "permissions.roles", Live: true, Env: "PERMISSIONS_ROLES", kind: kindTree,
		at: func(c *Config) any { return &c.Permissions.Roles },
		Doc: "map of a role to {publish, subscribe, request, respond: {allow, deny}, system}: " +
			"lists of topic patterns, and words for system topics; no role: all is allowed"},
	{Name: "permissions.identities", Live: true, Env: "PERMISSIONS_IDENTITIES", kind: kindTree,
		at:  func(c *Config) any { return &c.Permissions.Identities },
		Doc: "map of an identity to its roles, beside those of its token"},
	{Name: "permissions.default", Live: true, Env: "PERMISSIONS_DEFAULT", kind: kindTree,
		at:  func(c *Config) any { return &c.Permissions.Default },
		Doc: "roles of an identity without any"},
	{Name: "permissions.anonymous", Live: true, Env: "PERMISSIONS_ANONYMOUS", kind: kindTree,
		at:  func(c *Config) any { return &c.Permissions.Anonymous },
		Doc: "roles of who gave no credentials"},
	{Name: "rate.limit.global.per.service", Env: "RATE_LIMIT_GLOBAL_PER_SERVICE",
		Unit: "messages/s", Default: "0", max: maxRate,
		at:  func(c *Config) any { return &c.RateLimit.PerService },
		Doc: "messages one service may send, 0 = no limit"},
	{Name: "rate.limit.global.per.topic", Env: "RATE_LIMIT_GLOBAL_PER_TOPIC", Unit: "messages/s",
		Default: "0", max: maxRate,
		at:  func(c *Config) any { return &c.RateLimit.PerTopic },
		Doc: "messages on one topic, all services together, 0 = no limit"},
	{Name: ratesKey, Unit: "messages/s", Default: "{}", kind: kindRates, max: maxRate,
		at: func(c *Config) any { return &c.RateLimit.TopicPerService },
		Doc: "topic pattern to messages of one service on all matching topics together, " +
			"0 = no limit"},
	{Name: roleRatesKey, Live: true, Env: "RATE_LIMIT_ROLE", Unit: "messages/s", kind: kindTree,
		max: maxRate,
		at:  func(c *Config) any { return &c.RateLimit.Role },
		Doc: "map of a role to messages one service that has it may send, 0 = no limit; of " +
			"several roles the lowest holds"},
	{Name: "rate.limit.global.total", Env: "RATE_LIMIT_GLOBAL_TOTAL", Unit: "messages/s",
		Default: "0", max: maxRate,
		at:  func(c *Config) any { return &c.RateLimit.Total },
		Doc: "messages of the whole node, 0 = no limit"},
	{Name: "connection.max.concurrent", Env: "CONNECTION_MAX_CONCURRENT", Unit: "connections",
		Default: "100000", min: 1, max: maxCount,
		at:  func(c *Config) any { return &c.Connection.MaxConcurrent },
		Doc: "connections of all kinds; more are answered and closed"},
	{Name: "connection.max.perAddress", Env: "CONNECTION_MAX_PER_ADDRESS", Unit: "connections",
		Default: "0", max: maxCount,
		at: func(c *Config) any { return &c.Connection.MaxPerAddress },
		Doc: "connections of one client address (IPv6: of one /64), but for those of " +
			"proxy.trusted; 0 = no limit"},
	{Name: "connection.max.perIdentity", Env: "CONNECTION_MAX_PER_IDENTITY", Unit: "connections",
		Default: "0", max: maxCount,
		at:  func(c *Config) any { return &c.Connection.MaxPerIdentity },
		Doc: "connections of one identity, 0 = no limit"},
	{Name: "admission.rate", Live: true, Env: "ADMISSION_RATE", Unit: "connections/s",
		Default: "0", max: maxCount,
		at: func(c *Config) any { return &c.Admission.Rate },
		Doc: "new connections of all kinds, a burst of as many at once; more wait for up to a " +
			"second, then they are told when to come back; 0 = no limit"},
	{Name: "connection.max.subscriptions", Env: "CONNECTION_MAX_SUBSCRIPTIONS",
		Unit: "subscriptions", Default: "10000", min: 1, max: maxSubscriptions,
		at:  func(c *Config) any { return &c.Connection.MaxSubscriptions },
		Doc: "subscriptions of one connection; more are refused"},
	{Name: "connection.heartbeatRetryTimeout", Env: "CONNECTION_HEARTBEAT_RETRY_TIMEOUT",
		Unit: "ms", Default: "30000", kind: kindMillis, min: 1, max: maxMs,
		at:  func(c *Config) any { return &c.Connection.HeartbeatRetryTimeout },
		Doc: "silence after which the node sends a heartbeat request"},
	{Name: "connection.heartbeatDeregisterTimeout", Env: "CONNECTION_HEARTBEAT_DEREGISTER_TIMEOUT",
		Unit: "ms", Default: "60000", kind: kindMillis, min: 1, max: maxMs,
		at:  func(c *Config) any { return &c.Connection.HeartbeatDeregisterTimeout },
		Doc: "silence after which the connection is closed; longer than heartbeatRetryTimeout"},
	{Name: "connection.stallTimeout", Env: "CONNECTION_STALL_TIMEOUT", Unit: "ms",
		Default: "10000", kind: kindMillis, min: 1, max: maxMs,
		at:  func(c *Config) any { return &c.Connection.StallTimeout },
		Doc: "without a byte acknowledged by a peer that is not read for its answers: it is cut"},
	{Name: "connection.handshakeTimeout", Env: "CONNECTION_HANDSHAKE_TIMEOUT", Unit: "ms",
		Default: "10000", kind: kindMillis, min: 1, max: maxMs,
		at:  func(c *Config) any { return &c.Connection.HandshakeTimeout },
		Doc: "from accept to established, TLS and HTTP included"},
	{Name: "ws.origins", Env: "WS_ORIGINS", Default: "[]", kind: kindList, element: pageOrigin,
		at: func(c *Config) any { return &c.WS.Origins },
		Doc: "origins of web pages that may connect (https://app.example) beside those of the " +
			"node's own name; null, or * for every one"},
	{Name: "ws.hosts", Env: "WS_HOSTS", Default: "[]", kind: kindList, element: hostName,
		at: func(c *Config) any { return &c.WS.Hosts },
		Doc: "host names, beside those of loopback, by which a listener on a loopback address " +
			"may be called"},
	{Name: "proxy.trusted", Env: "PROXY_TRUSTED", Default: "[]", kind: kindList,
		element: trustedNetwork,
		at:      func(c *Config) any { return &c.Proxy.Trusted },
		Doc:     "networks (10.0.0.0/8) of balancers, which are believed who they speak for"},
	{Name: "proxy.protocol", Env: "PROXY_PROTOCOL", Default: ProxyRequired, kind: kindEach,
		values: []string{ProxyRequired, ProxyOptional, ProxyOff},
		at:     func(c *Config) any { return &c.Proxy.Protocol },
		Doc: "whether connections of proxy.trusted begin with a PROXY header: required, optional " +
			"or off, for all listeners or for each"},
	{Name: "request.response.timeout.default", Env: "REQUEST_RESPONSE_TIMEOUT_DEFAULT", Unit: "ms",
		Default: "5000", kind: kindMillis, min: 1, max: maxMs,
		at:  func(c *Config) any { return &c.Request.TimeoutDefault },
		Doc: "deadline of a request whose header gives none"},
	{Name: "request.response.timeout.max", Env: "REQUEST_RESPONSE_TIMEOUT_MAX", Unit: "ms",
		Default: "3600000", kind: kindMillis, min: 1, max: maxMs,
		at:  func(c *Config) any { return &c.Request.TimeoutMax },
		Doc: "longest deadline a header may give"},
	{Name: "max.outstanding.requests", Env: "MAX_OUTSTANDING_REQUESTS", Unit: "requests",
		Default: "10000", min: 1, max: maxCount,
		at:  func(c *Config) any { return &c.Max.OutstandingRequests },
		Doc: "delivered or queued and not yet answered, in the node; one more evicts the oldest"},
	{Name: "max.outstanding.perService", Env: "MAX_OUTSTANDING_PER_SERVICE", Unit: "requests",
		Default: "0", max: maxCount,
		at:  func(c *Config) any { return &c.Max.OutstandingPerService },
		Doc: "in flight to one service that registered no maxConcurrent, 0 = no limit"},
	{Name: "max.queued.perTopic", Env: "MAX_QUEUED_PER_TOPIC", Unit: "requests", Default: "1000",
		max: maxCount,
		at:  func(c *Config) any { return &c.Max.QueuedPerTopic },
		Doc: "waiting on one topic; more are answered SERVICE_UNAVAILABLE"},
	{Name: "connection.outbound.bytes", Env: "CONNECTION_OUTBOUND_BYTES", Unit: "bytes",
		Default: "4MiB", kind: kindBytes, min: 2 * frameOverhead, max: maxBytes,
		at:  func(c *Config) any { return &c.Connection.OutboundBytes },
		Doc: "one connection's outbound ring; at least twice the largest frame"},
	{Name: "connection.outbound.messages", Env: "CONNECTION_OUTBOUND_MESSAGES", Unit: "messages",
		Default: "65536", min: 1, max: maxCount,
		at:  func(c *Config) any { return &c.Connection.OutboundMessages },
		Doc: "messages in one connection's outbound ring"},
	{Name: "connection.outbound.overflow", Env: "CONNECTION_OUTBOUND_OVERFLOW",
		Default: OverflowDrop, kind: kindEnum,
		values: []string{OverflowDrop, OverflowDropOldest, OverflowDisconnect},
		at:     func(c *Config) any { return &c.Connection.OutboundOverflow },
		Doc:    "what gives way when a ring is full: drop (the newest), drop-oldest or disconnect"},
	{Name: "connection.backpressure", Env: "CONNECTION_BACKPRESSURE", Default: BackpressureOff,
		kind: kindEnum, values: []string{BackpressureOff, BackpressurePause},
		at: func(c *Config) any { return &c.Connection.Backpressure },
		Doc: "pause: a publisher that asks for acknowledgement is not read while its " +
			"subscribers' rings are full; or off"},
	{Name: "connection.backpressureMax", Env: "CONNECTION_BACKPRESSURE_MAX", Unit: "ms",
		Default: "2000", kind: kindMillis, min: 1, max: maxMs,
		at:  func(c *Config) any { return &c.Connection.BackpressureMax },
		Doc: "longest pause of a publisher; then the overflow policy applies"},
	{Name: "memory.limit", Env: "MEMORY_LIMIT", Unit: "bytes", kind: kindBytes, min: 16 << 20,
		max: math.MaxInt64,
		at:  func(c *Config) any { return &c.Memory.Limit },
		Doc: "for rings, queues, inboxes, partial frames and connections together"},
	{Name: "admin.address", Env: "ADMIN_ADDRESS", Flag: "admin-address",
		Default: "127.0.0.1:3002", kind: kindString,
		at: func(c *Config) any { return &c.Admin.Address },
		Doc: "host:port of the operators' HTTP listener (/metrics, /livez, /readyz), " +
			"empty turns it off"},
	{Name: "admin.agent", Env: "ADMIN_AGENT", kind: kindString,
		at: func(c *Config) any { return &c.Admin.Agent },
		Doc: "host:port of a listener that tells HAProxy's agent-check how much the node takes, " +
			"empty turns it off"},
	{Name: "admin.pprof", Env: "ADMIN_PPROF", Default: "false", kind: kindBool,
		at: func(c *Config) any { return &c.Admin.Pprof },
		Doc: "serve profiles of the process (/debug/pprof/) there too: who reaches that address " +
			"may slow the node and see parts of its memory"},
	{Name: "admin.operator", Env: "ADMIN_OPERATOR", Default: "false", kind: kindBool,
		at: func(c *Config) any { return &c.Admin.Operator },
		Doc: "who reaches that address without credentials may change the node there too (POST " +
			"/drain, /kick …), or over the wire from this machine, and see payloads; not where " +
			"auth.required holds"},
	{Name: "admin.hosts", Env: "ADMIN_HOSTS", Default: "[]", kind: kindList, element: hostName,
		at: func(c *Config) any { return &c.Admin.Hosts },
		Doc: "host names, beside those of loopback and of ws.hosts, by which that listener may " +
			"be called: to change the node, and to see it without credentials"},
	{Name: "message.payload.maxLength", Env: "MESSAGE_PAYLOAD_MAX_LENGTH", Unit: "bytes",
		Default: "16384", kind: kindBytes, min: 1, max: 256 << 20,
		at:  func(c *Config) any { return &c.Message.PayloadMaxLength },
		Doc: "largest payload of one message"},
	{Name: "system.payload.maxLength", Env: "SYSTEM_PAYLOAD_MAX_LENGTH", Unit: "bytes",
		Default: "65536", kind: kindBytes, min: 1, max: 256 << 20,
		at:  func(c *Config) any { return &c.System.PayloadMaxLength },
		Doc: "largest payload of a request to the node itself, within message.payload.maxLength"},
	{Name: "ws.deflate.enabled", Env: "WS_DEFLATE_ENABLED", Default: "false", kind: kindBool,
		at:  func(c *Config) any { return &c.WS.Deflate.Enabled },
		Doc: "agree on permessage-deflate with WebSocket clients that offer it, as browsers do"},
	{Name: "ws.deflate.minBytes", Env: "WS_DEFLATE_MIN_BYTES", Unit: "bytes", Default: "256",
		kind: kindBytes, min: 1, max: maxDeflate,
		at:  func(c *Config) any { return &c.WS.Deflate.MinBytes },
		Doc: "messages of fewer bytes, header included, leave uncompressed"},
	{Name: "ws.deflate.maxBytes", Env: "WS_DEFLATE_MAX_BYTES", Unit: "bytes", Default: "65536",
		kind: kindBytes, min: 1, max: maxDeflate,
		at:  func(c *Config) any { return &c.WS.Deflate.MaxBytes },
		Doc: "messages of more bytes, header included, leave uncompressed"},
	{Name: "explain.sample", Env: "EXPLAIN_SAMPLE", Default: "0", max: maxCount,
		at: func(c *Config) any { return &c.Explain.Sample },
		Doc: "record the fate of one of so many messages for system.explain; 0 = of those alone " +
			"that somebody armed for"},
	{Name: "monitoring.interval", Pending: true, Env: "MONITORING_INTERVAL", Unit: "ms",
		Default: "60000", kind: kindMillis, min: 100, max: maxMs,
		at:  func(c *Config) any { return &c.Monitoring.Interval },
		Doc: "between two measurements the node takes of itself"},
	{Name: "shutdown.timeout", Env: "SHUTDOWN_TIMEOUT", Unit: "ms", Default: "25000",
		kind: kindMillis, max: maxMs,
		at: func(c *Config) any { return &c.Shutdown.Timeout },
		Doc: "longest draining after SIGTERM or SIGINT, everything included, 0 = close at once; " +
			"the process ends 2 s later whatever holds it up"},
	{Name: "shutdown.delay", Env: "SHUTDOWN_DELAY", Unit: "ms", Default: autoWord,
		kind: kindMillis, max: maxMs, values: []string{autoWord},
		at: func(c *Config) any { return &c.Shutdown.Delay },
		Doc: "how long only /readyz fails, for balancers to see it, when somebody has asked it " +
			"within 30 s; auto: 3000 after SIGTERM, 0 after SIGINT"},
	{Name: "shutdown.spread", Env: "SHUTDOWN_SPREAD", Unit: "ms", Default: "5000",
		kind: kindMillis, max: maxMs,
		at: func(c *Config) any { return &c.Shutdown.Spread },
		Doc: "within which connections are told to go, those that serve requests in its last " +
			"fifth, 0 = all at once"},
	{Name: "shutdown.rate", Env: "SHUTDOWN_RATE", Unit: "connections/s", Default: "1000",
		min: 1, max: maxRate,
		at: func(c *Config) any { return &c.Shutdown.Rate },
		Doc: "how many connections are told to go a second: more than fit in shutdown.spread " +
			"take longer, up to 5 s before shutdown.timeout"},
	{Name: "shutdown.grace", Env: "SHUTDOWN_GRACE", Unit: "ms", Default: "5000",
		kind: kindMillis, max: maxMs,
		at: func(c *Config) any { return &c.Shutdown.Grace },
		Doc: "how long a connection that is to go may ask on while something of it is " +
			"outstanding"},
	{Name: "loops", Env: "LOOPS", Unit: "loops", Default: "0", max: 1024,
		at:  func(c *Config) any { return &c.Loops },
		Doc: "reactor loops, 0 = as many as CPUs"},
}

// ratesKey is the one key whose value is a map; the map's own keys are topic patterns and contain
// dots.
const ratesKey = "rate.limit.topic.per.service"

// roleRatesKey is the key whose names are those of roles.
const roleRatesKey = "rate.limit.role"

// keyByName finds a row of the table.
var keyByName = func() map[string]*Key {
	m := make(map[string]*Key, len(keys))
	for i := range keys {
		m[keys[i].Name] = &keys[i]
	}
	return m
}()

// Default returns the configuration with no flag, no environment and no file.
func Default() Config {
	var c Config
	for i := range keys {
		k := &keys[i]
		if k.Default == "" && k.kind == kindBytes {
			*k.at(&c).(*int64) = defaultMemoryLimit()
			continue
		}
		v, err := k.parseText(k.Default)
		if err != nil {
			panic("config: the table's default of " + k.Name + ": " + err.Error())
		}
		k.assign(&c, v)
	}
	return c
}

// unit is what a plain number of a duration key counts.
func (k *Key) unit() time.Duration {
	if k.kind == kindSecond {
		return time.Second
	}
	return time.Millisecond
}
