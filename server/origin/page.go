package origin

import (
	"net/netip"
	"strconv"
	"strings"
)

// Words that stand in ws.origins beside origins.
const (
	Any  = "*"    // every origin, null too
	Null = "null" // what browsers send for pages that have none, or hide it
)

// Page returns the origin of a web page (RFC 6454 §6.2) as browsers write it: scheme://host, and
// the port where it is not the scheme's own. host is as Host returns it, empty where the scheme has
// none. It is not ok for what is no origin, Null among it.
func Page(s string) (page, host string, ok bool) {
	scheme, authority, ok := strings.Cut(strings.ToLower(s), "://")
	host, port, valid := splitAuthority(authority)
	if !ok || !valid || !isScheme(scheme) || host == "" && authority != "" {
		return "", "", false
	}
	page = scheme + "://" + host
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		page = scheme + "://[" + host + "]"
	}
	if port != 0 && port != ownPort(scheme) {
		page += ":" + strconv.Itoa(int(port))
	}
	return page, host, true
}

// isScheme says whether s, in lower case, is a scheme (RFC 3986 §3.1).
func isScheme(s string) bool {
	return s != "" && 'a' <= s[0] && s[0] <= 'z' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}

// ownPort is the port that a scheme means when none is given.
func ownPort(scheme string) uint16 {
	switch scheme {
	case "http", "ws":
		return 80
	case "https", "wss":
		return 443
	}
	return 0
}

// Rules say which web pages may connect, and by which names the node may be called (protocol §10).
// Immutable after NewRules.
type Rules struct {
	any            bool
	origins, hosts map[string]bool
}

// NewRules makes rules of ws.origins and ws.hosts, whose elements are as Page and Host return them.
func NewRules(origins, hosts []string) *Rules {
	r := &Rules{origins: make(map[string]bool), hosts: make(map[string]bool)}
	for _, o := range origins {
		r.origins[o] = true
	}
	for _, h := range hosts {
		r.hosts[h] = true
	}
	r.any = r.origins[Any]
	return r
}

// Why a handshake may not enter (protocol §4), and the key by which it might.
const (
	BadHost   = "host"
	BadOrigin = "origin"
)

// Check judges a handshake by its Origin, empty when it has none, and its Host, both as they were
// sent. loopback says that it came to a listener on a loopback address. The answer is empty when it
// may enter, else BadHost or BadOrigin.
func (r *Rules) Check(origin, host string, loopback bool) (why string) {
	called, ok := Host(host)
	// Whoever can be made to call this machine by a name of somebody else's has been rebound: to
	// the browser the page is of the same origin as the node.
	if loopback && !(ok && r.ours(called)) {
		return BadHost
	}
	if origin == "" || r.any || origin == Null && r.origins[Null] {
		return ""
	}
	page, from, isPage := Page(origin)
	switch {
	case !isPage:
		return BadOrigin
	case r.origins[page]:
		return ""
	case loopback && r.ours(from), !loopback && ok && from == called:
		return ""
	}
	return BadOrigin
}

// ours says whether a name means this machine, or is one that the node was given.
func (r *Rules) ours(name string) bool { return Loopback(name) || r.hosts[name] }
