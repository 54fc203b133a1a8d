package config

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"
)

// Cluster says which other nodes there are, and how they are reached.
type Cluster struct {
	URLs          []string // of NATS servers; none: the node is alone
	Name          string   // clusters of different names never meet
	Node          string   // "" = the host's name
	Credentials   string   // path of a credentials file; "" = none
	NKey          string   // path of a seed
	User          string
	Password      string // path of a file with it
	Token         string // path of a file with it
	TLS           ClusterTLS
	Heartbeat     time.Duration // between two
	OutboundBytes int           // that one loop may have for the bus
	RepairBytes   int           // of what it has sent that it keeps; 0: no repair
	MinPeers      int           // with fewer the node is not ready
	AckTimeout    time.Duration // for others to confirm a subscription, and a publish
	InterestMax   int           // patterns that others are told of
}

// ClusterTLS names PEM files; "" = none.
type ClusterTLS struct{ CA, Cert, Key string }

// clusterKeys are the keys of several nodes.
var clusterKeys = []Key{
	{Name: "cluster.urls", Env: "CLUSTER_URLS", Default: "[]", kind: kindList, element: natsURL,
		at: func(c *Config) any { return &c.Cluster.URLs },
		Doc: "NATS servers of one NATS cluster (nats://10.0.0.5:4222, tls://…) that join this " +
			"node to others, empty: it is alone"},
	{Name: "cluster.name", Env: "CLUSTER_NAME", Default: "mb", kind: kindString,
		at:  func(c *Config) any { return &c.Cluster.Name },
		Doc: "nodes of different names never meet: 1 to 63 letters, digits, _ and -"},
	{Name: "cluster.node", Env: "CLUSTER_NODE", kind: kindString,
		at: func(c *Config) any { return &c.Cluster.Node },
		Doc: "this node's name, which no other has: as cluster.name; empty: the host's name, _ " +
			"for its dots"},
	{Name: "cluster.credentials", Env: "CLUSTER_CREDENTIALS", kind: kindString,
		at:  func(c *Config) any { return &c.Cluster.Credentials },
		Doc: "path of a NATS credentials file"},
	{Name: "cluster.nkey", Env: "CLUSTER_NKEY", kind: kindString,
		at:  func(c *Config) any { return &c.Cluster.NKey },
		Doc: "path of a file with the seed of a NATS user key"},
	{Name: "cluster.user", Env: "CLUSTER_USER", kind: kindString,
		at:  func(c *Config) any { return &c.Cluster.User },
		Doc: "name of a NATS user, with cluster.password"},
	{Name: "cluster.password", Env: "CLUSTER_PASSWORD", kind: kindString,
		at:  func(c *Config) any { return &c.Cluster.Password },
		Doc: "path of a file with that user's password"},
	{Name: "cluster.token", Env: "CLUSTER_TOKEN", kind: kindString,
		at:  func(c *Config) any { return &c.Cluster.Token },
		Doc: "path of a file with a NATS token"},
	{Name: "cluster.tls.ca", Env: "CLUSTER_TLS_CA", kind: kindString,
		at:  func(c *Config) any { return &c.Cluster.TLS.CA },
		Doc: "path of the PEM file with who may have signed the NATS servers' certificates"},
	{Name: "cluster.tls.cert", Env: "CLUSTER_TLS_CERT", kind: kindString,
		at:  func(c *Config) any { return &c.Cluster.TLS.Cert },
		Doc: "path of the PEM file with the certificate that the NATS servers are shown"},
	{Name: "cluster.tls.key", Env: "CLUSTER_TLS_KEY", kind: kindString,
		at:  func(c *Config) any { return &c.Cluster.TLS.Key },
		Doc: "path of the PEM file with its key"},
	{Name: "cluster.heartbeat", Env: "CLUSTER_HEARTBEAT", Unit: "ms", Default: "200",
		kind: kindMillis, min: 20, max: 60_000,
		at: func(c *Config) any { return &c.Cluster.Heartbeat },
		Doc: "between two heartbeats of a node, the same for all: after three that are missed " +
			"it is gone"},
	{Name: "cluster.outbound.bytes", Env: "CLUSTER_OUTBOUND_BYTES", Unit: "bytes",
		Default: "16777216", kind: kindBytes, min: 1 << 20, max: maxBytes,
		at: func(c *Config) any { return &c.Cluster.OutboundBytes },
		Doc: "publishes of one loop that may wait for NATS: more are lost to other nodes, " +
			"counted and told"},
	{Name: "cluster.repair.bytes", Env: "CLUSTER_REPAIR_BYTES", Unit: "bytes",
		Default: "8388608", kind: kindBytes, max: maxBytes,
		at: func(c *Config) any { return &c.Cluster.RepairBytes },
		Doc: "of what one loop has sent to other nodes last that is kept for those that miss " +
			"some of it; 0: what NATS loses is lost"},
	{Name: "cluster.minPeers", Env: "CLUSTER_MIN_PEERS", Unit: "nodes", Default: "0", max: 63,
		at:  func(c *Config) any { return &c.Cluster.MinPeers },
		Doc: "with fewer other nodes this one is not ready (/readyz: isolated)"},
	{Name: "cluster.ackTimeout", Env: "CLUSTER_ACK_TIMEOUT", Unit: "ms", Default: "250",
		kind: kindMillis, min: 1, max: 60_000,
		at: func(c *Config) any { return &c.Cluster.AckTimeout },
		Doc: "how long other nodes may take to confirm a subscription or a publish, which is " +
			"then answered without them (unconfirmed)"},
	{Name: "cluster.interest.max", Env: "CLUSTER_INTEREST_MAX", Unit: "patterns",
		Default: "200000", min: 1, max: maxCount,
		at: func(c *Config) any { return &c.Cluster.InterestMax },
		Doc: "different patterns of publishes that this node may have subscribers for: a " +
			"subscription to another one is refused (interest_limit)"},
}

// natsURL brings the URL of a NATS server to its canonical form.
func natsURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return "", errors.New("no URL with a host")
	case u.Scheme != "nats" && u.Scheme != "tls":
		return "", errors.New("must begin with nats:// or tls://")
	case u.User != nil:
		return "", errors.New("must hold no credentials: cluster.user, cluster.password")
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("must end with the port")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// NodeName is the node's name in its cluster.
func (c *Cluster) NodeName() string {
	if c.Node != "" {
		return c.Node
	}
	name, _ := os.Hostname() // none is no name, which is refused
	return strings.ReplaceAll(name, ".", "_")
}

// nameMost is how long the names of clusters and nodes may be.
const nameMost = 63

// validName says whether a cluster or a node may have a name. "all" stands for every node.
func validName(name string) bool {
	return name != "" && len(name) <= nameMost && name != "all" &&
		strings.IndexFunc(name, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
				r == '_' || r == '-')
		}) < 0
}

// checkCluster checks what the keys of several nodes mean together.
func (c Config) checkCluster(add func(key string, value any, reason string, args ...any)) {
	cluster := &c.Cluster
	if len(cluster.URLs) == 0 {
		return
	}
	const names = "must be 1 to 63 letters, digits, _ and -, and not all"
	if !validName(cluster.Name) {
		add("cluster.name", cluster.Name, names)
	}
	if name := cluster.NodeName(); !validName(name) {
		add("cluster.node", name, names)
	}
	if (cluster.TLS.Cert == "") != (cluster.TLS.Key == "") {
		add("cluster.tls.cert", cluster.TLS.Cert, "cluster.tls.cert and cluster.tls.key are a pair")
	}
	if cluster.Password != "" && cluster.User == "" {
		add("cluster.password", cluster.Password, "needs cluster.user")
	}
	for _, f := range []struct{ key, path string }{
		{"cluster.credentials", cluster.Credentials}, {"cluster.nkey", cluster.NKey},
		{"cluster.password", cluster.Password}, {"cluster.token", cluster.Token},
		{"cluster.tls.ca", cluster.TLS.CA}, {"cluster.tls.cert", cluster.TLS.Cert},
		{"cluster.tls.key", cluster.TLS.Key},
	} {
		if f.path == "" {
			continue
		}
		if _, err := os.ReadFile(f.path); err != nil {
			var bad *fs.PathError
			if errors.As(err, &bad) {
				err = bad.Err
			}
			add(f.key, f.path, "%v", err)
		}
	}
}
