package trouble

// Severity says how soon somebody should look.
type Severity uint8

// The severities, the worst first.
const (
	Critical Severity = iota // the node is in danger, or many suffer
	Warning                  // somebody loses something
	Notice                   // worth knowing
)

// String returns the word for it.
func (s Severity) String() string { return [...]string{"critical", "warning", "notice"}[s] }

// Kind is a kind of trouble.
type Kind uint8

// The kinds.
const (
	Fault             Kind = iota // a defect of the node
	Stuck                         // a loop has stopped turning
	Memory                        // memory.limit is near
	ConnectionsCut                // and it came to it
	Isolated                      // the node has lost the others of its cluster
	NodeGone                      // another one is not heard any more
	NodeSlow                      // it takes long to answer, or what is for it finds no room
	NodesLose                     // publishes between nodes
	Certificate                   // it expires soon, or has
	TurnsLong                     // loops take long to come round
	ConnectionsNear               // soon nobody may connect
	Refused                       // newcomers, by cause
	HandshakesFailed              // by cause
	WrongCredentials              // they come, and are refused
	Lockout                       // an address is not heard for a while
	SlowSubscriber                // its ring is nearly full, or it loses messages
	PausedPublisher               // it waits for a slow subscriber
	UnreadConnection              // its socket is not read
	SaturatedService              // requests wait for it
	RequestsTimedOut              // no answer came in time
	RequestsEvicted               // there are too many
	RequestsUnserved              // nobody serves them
	MessagesForbidden             // somebody may not do what he tries
	LogLoses                      // lines of the log
	LimitedClient                 // it is over a rate limit
	Draining                      // the node sends its connections away
	Kinds
)

// about is what there is to say of a kind.
type about struct {
	name     string
	severity Severity
	advice   string // what to do, in a sentence
	anchor   string // of docs/operations.md
}

var kinds = [Kinds]about{
	Fault: {"fault", Critical,
		"report it with its line of the log; the node goes on, no restart is needed", "fault"},
	Stuck: {"stuck", Critical,
		"see what the machine does; if it stays so, end the node: clients come back", "slow-node"},
	Memory: {"memory", Critical,
		"find the large backlogs (mb connections --sort backlog), make rings smaller, or give " +
			"more memory and raise memory.limit", "memory"},
	ConnectionsCut: {"connections_cut", Critical,
		"as for memory; who was cut comes back by itself", "connections-cut"},
	Isolated: {"isolated", Critical,
		"by cause: start NATS, give each node a name of its own (cluster.node), or start the " +
			"other nodes; it heals by itself but for the name", "isolated"},
	NodeGone: {"node_gone", Warning,
		"start that node, or see what its machine does; its clients are at other nodes",
		"node-gone"},
	NodeSlow: {"node_slow", Warning,
		"by cause: NATS or the machine is busy; more room (cluster.outbound.bytes) for bursts",
		"node-slow"},
	NodesLose: {"nodes_lose", Warning,
		"see NATS' log for slow consumers, and the node that they come from for node_slow",
		"nodes-lose"},
	Certificate: {"certificate", Warning,
		"put the new files in place and send SIGHUP; no connection is dropped", "certificate"},
	TurnsLong: {"turns_long", Warning,
		"give the node processors of its own; look for fan-outs of many thousands", "slow-node"},
	ConnectionsNear: {"connections_near_limit", Critical,
		"look where the many come from (mb connections --sort age --reverse), else raise " +
			"connection.max.concurrent", "connections-near-limit"},
	Refused: {"refused", Warning,
		"by cause: the key that it names, or nothing if they are strangers", "refused"},
	HandshakesFailed: {"handshakes_failed", Warning,
		"by cause: the certificate, proxy.protocol, descriptors; scanners need nothing",
		"handshakes-failed"},
	WrongCredentials: {"wrong_credentials", Warning,
		"known clients: give them new tokens; strangers: lower " +
			"auth.failure.lockout.threshold, or use a firewall", "wrong-credentials"},
	Lockout: {"lockout", Warning,
		"mend the client's token and wait, or leave strangers to it", "wrong-credentials"},
	SlowSubscriber: {"slow_subscriber", Warning,
		"mend the subscriber, have it conflate, or give it less", "slow-subscriber"},
	PausedPublisher: {"paused_publisher", Warning,
		"find the subscriber that it waits for; shorten connection.backpressureMax",
		"paused-publisher"},
	UnreadConnection: {"unread_connection", Warning,
		"mend the client: it sends without reading its answers, or more than a loop takes",
		"unread-connection"},
	SaturatedService: {"saturated_service", Warning,
		"start more instances, raise maxConcurrent, or have fewer callers", "saturated-service"},
	RequestsTimedOut: {"requests_timed_out", Warning,
		"mb connections --sort outstanding names a service that is stuck; else start more",
		"requests-timed-out"},
	RequestsEvicted: {"requests_evicted", Critical,
		"mend services that are stuck, use shorter timeouts, then raise max.outstanding.requests",
		"requests-evicted"},
	RequestsUnserved: {"requests_unserved", Warning,
		"start the service, or see whether it has subscribed again (mb subscriptions)",
		"requests-unserved"},
	MessagesForbidden: {"messages_forbidden", Notice,
		"look at permissions.roles if they should be allowed", "messages-forbidden"},
	LogLoses: {"log_loses", Notice,
		"make room on the disk and send SIGHUP; do not log at debug", "log-loses"},
	LimitedClient: {"limited_client", Notice,
		"mend the client, or raise the limit", "limited-client"},
	Draining: {"draining", Notice,
		"nothing, if it was meant: mb drain --cancel ends it", "draining"},
}

// String returns the name of it, as /troublez says it.
func (k Kind) String() string { return kinds[k].name }

// Severity is that of the kind.
func (k Kind) Severity() Severity { return kinds[k].severity }

// Advice says in a sentence what to do.
func (k Kind) Advice() string { return kinds[k].advice }

// Anchor is where docs/operations.md has more.
func (k Kind) Anchor() string { return kinds[k].anchor }

// KindOf returns the kind of that name.
func KindOf(name string) (k Kind, ok bool) {
	for k = range Kinds {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}
