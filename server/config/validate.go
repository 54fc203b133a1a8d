package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"mbserver/server/secure"
)

// Validate checks every key's range and what keys mean together, reads the certificate, and returns
// all faults joined, each an *Error naming key and value.
func (c Config) Validate() error {
	faults := c.checkRanges()
	add := func(key string, value any, reason string, args ...any) {
		reason = fmt.Sprintf(reason, args...)
		faults = append(faults, &Error{Key: key, Value: show(value), Reason: reason})
	}
	c.checkListeners(add)
	c.checkTLS(add)
	c.checkCluster(add)
	conn := c.Connection
	if conn.HeartbeatDeregisterTimeout <= conn.HeartbeatRetryTimeout {
		add("connection.heartbeatDeregisterTimeout", conn.HeartbeatDeregisterTimeout,
			"must be longer than connection.heartbeatRetryTimeout (%v)", conn.HeartbeatRetryTimeout)
	}
	if c.Request.TimeoutDefault > c.Request.TimeoutMax {
		add("request.response.timeout.default", c.Request.TimeoutDefault,
			"must not be longer than request.response.timeout.max (%v)", c.Request.TimeoutMax)
	}
	if least := 2 * int64(c.MaxFrame()); int64(conn.OutboundBytes) < least {
		add("connection.outbound.bytes", conn.OutboundBytes,
			"must be at least %d, twice the largest frame (message.payload.maxLength = %d)",
			least, c.Message.PayloadMaxLength)
	}
	if d := c.WS.Deflate; d.MinBytes > d.MaxBytes {
		add("ws.deflate.minBytes", d.MinBytes,
			"must not be more than ws.deflate.maxBytes (%d)", d.MaxBytes)
	}
	for _, role := range slices.Sorted(maps.Keys(c.RateLimit.Role)) {
		if _, ok := c.Permissions.Roles[role]; !ok {
			add(roleRatesKey, role, "is no role of permissions.roles")
		}
	}
	if c.Memory.Limit < 2*int64(conn.OutboundBytes) {
		add("memory.limit", c.Memory.Limit,
			"must be at least twice connection.outbound.bytes (%d)", conn.OutboundBytes)
	}
	return errors.Join(faults...)
}

// checkRanges holds every field to its row of the table;
// a program may have set them without parsing.
func (c Config) checkRanges() []error {
	var faults []error
	for i := range keys {
		k := &keys[i]
		if err := k.checkField(&c); err != nil {
			faults = append(faults,
				&Error{Key: k.Name, Value: show(k.plain(&c)), Reason: err.Error()})
		}
	}
	return faults
}

// checkField checks one field against its row.
func (k *Key) checkField(c *Config) error {
	switch p := k.at(c).(type) {
	case *int:
		if *p == AnyPort && strings.HasPrefix(k.Name, "ports.") {
			return nil
		}
		_, err := k.inRange(int64(*p))
		return err
	case *int64:
		_, err := k.inRange(*p)
		return err
	case *time.Duration:
		return k.checkDuration(*p)
	case *string:
		if k.kind == kindEnum && !slices.Contains(k.values, *p) {
			return fmt.Errorf("must be one of %s", strings.Join(k.values, ", "))
		}
	case *slog.Level:
		if !slices.Contains(k.values, strings.ToLower(p.String())) {
			return fmt.Errorf("must be one of %s", strings.Join(k.values, ", "))
		}
	case *map[string]int:
		return k.checkRates(*p)
	case *RoleRates:
		for role, n := range *p {
			if _, err := k.inRange(int64(n)); err != nil {
				return fmt.Errorf("role %q: %w", role, err)
			}
		}
	case *[]string:
		return k.checkList(*p)
	case *[]netip.Prefix:
		return k.checkList(prefixTexts(*p))
	case *ProxyProtocol:
		return k.checkEach(*p)
	}
	return nil
}

// checkRates checks patterns that did not come through the parser.
func (k *Key) checkRates(rates map[string]int) error {
	for pattern, n := range rates {
		canonical, err := canonicalPattern(pattern)
		if err == nil && canonical != pattern {
			err = errors.New("not in its canonical form, which is lower case")
		}
		if err == nil {
			_, err = k.inRange(int64(n))
		}
		if err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	return nil
}

// checkListeners checks host, ports and addresses:
// syntax, clashes, plaintext in the open, nothing to listen on.
func (c Config) checkListeners(add func(key string, value any, reason string, args ...any)) {
	if c.Host != "" && !validHost(c.Host) {
		add("host", c.Host, "neither a host name nor an address")
	}
	switch plain := c.Ports.WS != 0 || c.Ports.TCP != 0; {
	case plain:
	case !c.TLS():
		add("ports.ws", 0, "every listener is off: ports.tcp is 0 too, and wss and tls need "+
			"ssl.key and ssl.cert")
	case c.Ports.WSS == 0 && c.Ports.TLS == 0:
		add("ports.ws", 0, "every listener is off: ports.wss, ports.tcp and ports.tls are 0 too")
	}
	if !c.AllowUnsecure && !c.loopback() {
		for _, p := range []struct {
			key  string
			port int
		}{{"ports.ws", c.Ports.WS}, {"ports.tcp", c.Ports.TCP}} {
			if p.port != 0 {
				add(p.key, p.port, "a plaintext listener on host %q, which is not loopback, "+
					"needs allowUnsecure = true (--allow-unsecure)", c.Host)
			}
		}
	}
	seen := map[int]string{}
	for i := range keys {
		port, ok := keys[i].at(&c).(*int)
		if !ok || !strings.HasPrefix(keys[i].Name, "ports.") || *port <= 0 {
			continue
		}
		if other, twice := seen[*port]; twice {
			add(keys[i].Name, *port, "%s has the same port", other)
		}
		seen[*port] = keys[i].Name
	}
	c.checkAdmin(add)
}

// checkAdmin checks admin.address and admin.agent.
func (c Config) checkAdmin(add func(key string, value any, reason string, args ...any)) {
	checkAddress("admin.address", c.Admin.Address, add)
	checkAddress("admin.agent", c.Admin.Agent, add)
	if _, port, _ := net.SplitHostPort(c.Admin.Agent); port != "" && port != "0" &&
		c.Admin.Agent == c.Admin.Address {
		add("admin.agent", c.Admin.Agent, "admin.address is the same")
	}
}

// checkAddress checks the host:port of a listener; empty: there is none.
func checkAddress(
	key, address string, add func(key string, value any, reason string, args ...any),
) {
	if address == "" {
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		add(key, address, "not of the form host:port")
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > math.MaxUint16 {
		add(key, address, "the port must be 0 to %d", maxPort)
	}
	if host != "" && !validHost(host) {
		add(key, address, "%q is neither a host name nor an address", host)
	}
}

// loopback reports whether the host can be reached from this machine only. A name other than
// localhost is not looked up: what it means may change while the node runs.
func (c Config) loopback() bool {
	if strings.EqualFold(c.Host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(c.Host)
	return err == nil && a.Unmap().IsLoopback()
}

// validHost reports whether s is an IP address or has the syntax of a host name (RFC 1123 §2.1,
// underscores tolerated).
func validHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			letter, digit := c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9'
			if !letter && !digit && c != '-' && c != '_' {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != "" // all digits: a misspelt IPv4 address
}

// checkTLS checks that key and certificate come together, and that all files are what they should
// be.
func (c Config) checkTLS(add func(key string, value any, reason string, args ...any)) {
	switch {
	case c.SSL.Key == "" && c.SSL.Cert != "":
		add("ssl.key", "", "ssl.key and ssl.cert must be set together")
	case c.SSL.Cert == "" && c.SSL.Key != "":
		add("ssl.cert", "", "ssl.key and ssl.cert must be set together")
	case c.TLS():
		for _, bad := range secure.Check(c.CertificateFiles()) {
			add(fileKeys[bad.File], bad.Path, "%s", bad.Reason)
		}
	case c.Auth.Certificate.CA != "":
		add("auth.certificate.ca", c.Auth.Certificate.CA,
			"there are no listeners for TLS without ssl.key and ssl.cert")
	}
	if c.Auth.Certificate.Required && c.Auth.Certificate.CA == "" {
		add("auth.certificate.required", true, "needs auth.certificate.ca: "+
			"without it nobody knows which certificates to trust")
	}
}

// fileKeys are the keys of files of certificates.
var fileKeys = map[secure.File]string{
	secure.Chain: "ssl.cert", secure.Key: "ssl.key", secure.ClientCA: "auth.certificate.ca",
}

// fileReason is why a file cannot be read, without its path.
func fileReason(err error) error {
	var where *fs.PathError
	if errors.As(err, &where) {
		return where.Err
	}
	return err
}
