package origin

import "net/netip"

// Network is what an address counts by: of IPv6 the /64, which is what one client may have.
func Network(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is6() {
		return a
	}
	network, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a // there is no such address
	}
	return network.Addr()
}

// Networks are those of balancers, whose word counts: proxy.trusted.
type Networks []netip.Prefix

// Has says whether an address is in one of them.
func (n Networks) Has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, network := range n {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// ParseNetwork reads a network, as 10.0.0.0/8, or a single address. What stands behind the prefix
// counts as zero, and an IPv4 network in the form of IPv6 is one.
func ParseNetwork(s string) (network netip.Prefix, ok bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), a.Zone() == ""
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	const mapped = 128 - 32
	if p.Addr().Is4In6() && p.Bits() >= mapped {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
	}
	return p.Masked(), true
}
