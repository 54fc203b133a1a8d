package door

import (
	"fmt"
	"net/netip"

	"mbserver/codec"
	"mbserver/server/broker"
	"mbserver/server/config"
)

// proxyMode says whether a connection begins with a PROXY header (protocol §10).
type proxyMode uint8

const (
	proxyOff proxyMode = iota // it must not, or has
	proxyOptional
	proxyRequired
)

// proxyModes are the configuration's words by transport.
func proxyModes(p *config.ProxyProtocol) (modes [4]proxyMode) {
	words := map[string]proxyMode{
		config.ProxyRequired: proxyRequired, config.ProxyOptional: proxyOptional,
		config.ProxyOff: proxyOff,
	}
	modes[broker.TransportWS], modes[broker.TransportWSS] = words[p.WS], words[p.WSS]
	modes[broker.TransportTCP], modes[broker.TransportTLS] = words[p.TCP], words[p.TLS]
	return modes
}

// proxies says whether a connection that comes from remote begins with a PROXY header.
func (d *Door) proxies(t broker.Transport, remote netip.AddrPort) proxyMode {
	if mode := d.proxy[t]; mode != proxyOff && d.trusted.Has(remote.Addr()) {
		return mode
	}
	return proxyOff
}

// speaksSecond says whether a PROXY header may still come from who would otherwise wait for the
// node's welcome: then that waits too, for proxyWait at most.
func (a *arrival) speaksSecond() bool {
	return a.proxy == proxyOptional && a.transport == broker.TransportTCP
}

// unwrap takes the PROXY header off the head of a visit, or finds that there is none. It is not ok
// when more has to come first, or v is gone. What is left may be the beginning of a second one.
func (v *visitor) unwrap(head []byte) (rest []byte, ok bool) {
	if v.proxy == proxyOff {
		switch whole, part := codec.Signed(head); {
		case whole:
			v.refuseProxy("it came unasked: " + v.gate.door.whyUnasked(v.arrival))
			return nil, false
		case part:
			v.keep(head)
			return nil, false
		}
		return head, true
	}
	client, n, err := codec.ParseProxy(head)
	switch {
	case err == codec.ErrNoProxy && v.proxy == proxyOptional:
		v.proxy = proxyOff
		return head, true
	case err == codec.ErrNoProxy:
		v.refuseProxy(v.missing("something else came"))
	case err != nil:
		v.refuseProxy("malformed: " + err.Error())
	case n == 0:
		v.keep(head)
	default:
		v.proxy, v.head = proxyOff, nil
		v.recharge()
		if client.IsValid() {
			v.comesFrom(client)
		}
		return head[n:], true
	}
	return nil, false
}

// whyUnasked says why a PROXY header is not taken.
func (d *Door) whyUnasked(a arrival) string {
	if d.trusted.Has(a.remote.Addr()) {
		return fmt.Sprintf("proxy.protocol is off for %s, or it was the second one", a.transport)
	}
	return fmt.Sprintf("%s is not in proxy.trusted", a.remote.Addr())
}

// missing says why a connection without a PROXY header is not taken.
func (v *visitor) missing(instead string) string {
	return fmt.Sprintf("missing: %s; %s is in proxy.trusted, and proxy.protocol is required for %s",
		instead, v.remote.Addr(), v.transport)
}

// refuseProxy ends the visit of who should have begun with a PROXY header, or should not.
func (v *visitor) refuseProxy(why string) {
	d := v.gate.door
	d.noteFailed(failedProxy)
	remote := v.remote.String()
	d.warn("refused a PROXY header", remote+", "+why, "remote", remote, "reason", why,
		"transport", v.transport.String())
	v.end()
}

// comesFrom notes who v is, as a balancer says: from now on its handshake counts as one of that
// address.
func (v *visitor) comesFrom(client netip.AddrPort) {
	v.stopSharing()
	v.remote = client
	v.sharing()
}

// greet ends the wait for a PROXY header of who speaks second.
func (v *visitor) greet() {
	if len(v.head) > 0 {
		v.refuseProxy("it did not end in time")
		return
	}
	v.proxy = proxyOff
	v.enter(&broker.Arrival{})
}
