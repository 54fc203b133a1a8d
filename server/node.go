package server

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mbserver/server/admin"
	"mbserver/server/backplane"
	"mbserver/server/broker"
	"mbserver/server/config"
	"mbserver/server/door"
	"mbserver/server/logging"
	"mbserver/server/origin"
	"mbserver/server/reactor"
	"mbserver/server/secure"
)

// Options are what a Node is given beside its configuration.
type Options struct {
	Logger  *slog.Logger     // nil: slog.Default
	Logs    *logging.Handler // the handler behind Logger, for system.log; nil: no log stream
	Version string           // said in system.initialize
	Origins config.Origins   // who has set what; nil: the program itself

	// Listeners are sockets that listen already, by transport ("ws", "wss", "tcp", "tls", "admin"):
	// the node takes these instead of binding that transport's addresses. It closes the files, and
	// never shuts the sockets down: who else holds them goes on listening.
	Listeners map[string][]*os.File

	// Echo has each message go back to its sender, over the door, loops and codec of any node, and
	// be nobody else's: no welcome, no heartbeats, no header lines. For suites that test protocols.
	Echo bool
}

// Node is one message server: the floors of this package's folders, put on one another. Its methods
// may be called by any goroutine, Start and Shutdown one after the other.
type Node struct {
	// Immutable after New.
	cfg     config.Config
	log     *slog.Logger
	version string
	broker  *broker.Broker
	plane   *backplane.Plane // nil: the node is alone

	certificates *secure.Certificates  // nil: there are no listeners for TLS
	files        map[string][]*os.File // Options.Listeners

	started   atomic.Bool     // Start was called
	reloading sync.Mutex      // one reload at a time
	settings  settings        // what is in force
	running   context.Context // ends with the loops
	ended     context.CancelFunc

	// Immutable after Start.
	reactors *reactor.Group
	door     *door.Door
	admin    *admin.Server
	agent    *admin.Agent
	expiry   *time.Timer // looks when the certificate expires; nil: there is none

	drain drain // that an operator has asked for
}

// New makes a node that does not listen yet. An error says what is wrong with the configuration.
func New(cfg config.Config, o Options) (*Node, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	authority, err := authorityOf(&cfg)
	if err != nil {
		return nil, err
	}
	n := &Node{log: o.Logger, version: o.Version, files: o.Listeners}
	n.broker, err = broker.New(cfg, broker.Options{
		Logger: o.Logger, Logs: o.Logs, Version: o.Version, Authority: authority, Echo: o.Echo,
		Trusted: origin.Networks(cfg.Proxy.Trusted).Has,
		Drain:   n.Drain, Undrain: n.Undrain,
	})
	if err != nil {
		return nil, err
	}
	n.settings.begin(&cfg, o.Origins)
	// They stand in the authority, and may be many.
	cfg.Auth.Tokens, cfg.Permissions = nil, config.Permissions{}
	n.cfg = cfg
	n.running, n.ended = context.WithCancel(context.Background())
	if cfg.TLS() {
		if n.certificates, err = secure.Open(cfg.CertificateFiles()); err != nil {
			return nil, err
		}
	}
	if n.plane, err = newPlane(&cfg, n.broker, o); err != nil {
		return nil, err
	}
	return n, nil
}
