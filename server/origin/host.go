package origin

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxName is more than any host name has (RFC 1035 §2.3.4).
const maxName = 255

// Host returns the name or the address of an authority as in a Host field (RFC 9110 §7.2), without
// its port: in lower case, without brackets and without a final dot. It is not ok when it has none,
// or when two readers could take it for different ones.
func Host(authority string) (name string, ok bool) {
	name, _, ok = splitAuthority(authority)
	return name, ok && name != ""
}

// splitAuthority is Host, and the port: 0 when there is none. Both may be missing.
func splitAuthority(s string) (name string, port uint16, ok bool) {
	if rest, bracketed := strings.CutPrefix(s, "["); bracketed {
		inside, behind, closed := strings.Cut(rest, "]")
		a, err := netip.ParseAddr(inside)
		if !closed || err != nil || !a.Is6() || a.Zone() != "" {
			return "", 0, false
		}
		port, ok = parsePort(behind)
		return a.Unmap().String(), port, ok
	}
	text, behind := s, ""
	if colon := strings.IndexByte(s, ':'); colon >= 0 {
		text, behind = s[:colon], s[colon:]
	}
	port, ok = parsePort(behind)
	name = strings.TrimSuffix(strings.ToLower(text), ".")
	return name, port, ok && len(name) <= maxName && strings.Trim(name, nameCharacters) == "" &&
		(name != "" || text == "") && !emptyLabel(name)
}

// emptyLabel says whether a label of a name is empty (RFC 1035 §2.3.1): who trims more dots than
// another reader would take it for a different one.
func emptyLabel(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") ||
		strings.Contains(name, "..")
}

// nameCharacters are those of host names, and the underscore, which is in some.
const nameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-._"

// parsePort reads what stands behind a name: nothing, or a colon and a port, which may be empty.
func parsePort(s string) (port uint16, ok bool) {
	if s == "" || s == ":" {
		return 0, true
	}
	digits, ok := strings.CutPrefix(s, ":")
	n, err := strconv.ParseUint(digits, 10, 16)
	return uint16(n), ok && err == nil
}

// Loopback says whether a name, as Host returns it, means this machine to whoever uses it: no name
// server is asked for it (RFC 6761 §6.3).
func Loopback(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && a.IsLoopback()
}
