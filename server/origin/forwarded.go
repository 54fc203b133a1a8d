package origin

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// Headers of which it cannot be said for sure what they say: where two readers could differ, a
// client could choose who it is.
var (
	errForwarded = errors.New("malformed Forwarded")
	errDisagree  = errors.New("X-Forwarded-For and Forwarded name different clients")
)

// Client returns who a handshake comes from, as far as can be known: its peer, or, when that is a
// trusted balancer, the right-most address of X-Forwarded-For or Forwarded that is not. Both are
// the fields' values, several joined by commas, empty when there is none. Where no port is given it
// is 0. An error is a sentence for the sender.
func (n Networks) Client(peer netip.AddrPort, xForwardedFor, forwarded string) (
	client netip.AddrPort, err error,
) {
	if !n.Has(peer.Addr()) || xForwardedFor == "" && forwarded == "" {
		return peer, nil
	}
	client = n.walk(peer, elements(xForwardedFor))
	if forwarded == "" {
		return client, nil
	}
	nodes, ok := forwardedNodes(forwarded)
	if !ok {
		return peer, errForwarded
	}
	other := n.walk(peer, nodes)
	if xForwardedFor != "" && client.Addr() != other.Addr() {
		return peer, errDisagree
	}
	return other, nil
}

// walk goes from a trusted peer back along those who have forwarded, the last of nodes first, as
// long as they are trusted. One that is unknown hides what is before it.
func (n Networks) walk(peer netip.AddrPort, nodes []string) netip.AddrPort {
	for _, node := range slices.Backward(nodes) {
		before, ok := parseNode(node)
		if !ok {
			break
		}
		peer = before
		if !n.Has(peer.Addr()) {
			break
		}
	}
	return peer
}

// elements are those of a comma-separated list; empty ones are none (RFC 9110 §5.6.1).
func elements(list string) (all []string) {
	for e := range strings.SplitSeq(list, ",") {
		if e = strings.Trim(e, " \t"); e != "" {
			all = append(all, e)
		}
	}
	return all
}

// LastElement is the last one of a comma-separated list: what the nearest balancer has added.
func LastElement(list string) string {
	return strings.Trim(list[strings.LastIndexByte(list, ',')+1:], " \t")
}

// parseNode reads an address, with or without a port; one of IPv6 in brackets, or without a port.
func parseNode(s string) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a.Unmap(), 0), a.Zone() == ""
	}
	if inside, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(s, "]") {
		s = inside[:len(inside)-1] // without a port
		a, err := netip.ParseAddr(s)
		return netip.AddrPortFrom(a, 0), err == nil && a.Is6() && a.Zone() == ""
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Addr().Zone() != "" {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
}

// forwardedNodes are what each element of a Forwarded field says of whom it is for (RFC 7239 §4),
// empty when it says nothing.
func forwardedNodes(s string) (nodes []string, ok bool) {
	for {
		if s = strings.TrimLeft(s, ", \t"); s == "" { // empty elements are none
			return nodes, true
		}
		node, rest, valid := forwardedElement(s)
		if !valid {
			return nil, false
		}
		nodes, s = append(nodes, node), rest
	}
}

// forwardedElement reads one element, to behind its comma.
func forwardedElement(s string) (node, rest string, ok bool) {
	for has := false; ; {
		s = strings.TrimLeft(s, " \t")
		end := strings.IndexAny(s, "=,; \t\"")
		if end < 0 {
			return node, "", s == ""
		}
		name := s[:end]
		if s[end] == '=' && name != "" {
			var value string
			if value, s, ok = forwardedValue(s[end+1:]); !ok {
				return "", "", false
			}
			if strings.EqualFold(name, "for") {
				if has {
					return "", "", false
				}
				has, node = true, value
			}
			s = strings.TrimLeft(s, " \t")
		} else if name != "" {
			return "", "", false
		}
		switch {
		case s == "":
			return node, "", true
		case s[0] == ',':
			return node, s[1:], true
		case s[0] != ';':
			return "", "", false
		}
		s = s[1:]
	}
}

// forwardedValue reads a token or a quoted string (RFC 9110 §5.6.4). Tokens may have what only
// quoted strings should: many balancers write ports and brackets so.
func forwardedValue(s string) (value, rest string, ok bool) {
	quoted, is := strings.CutPrefix(s, `"`)
	if !is {
		end := strings.IndexAny(s, ",; \t\"=")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], end > 0
	}
	var text strings.Builder
	for i := 0; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"':
			return text.String(), quoted[i+1:], true
		case c == '\\' && i+1 < len(quoted):
			i++
			text.WriteByte(quoted[i])
		default:
			text.WriteByte(c)
		}
	}
	return "", "", false // it does not end
}
