package broker

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"mbserver/server/config"
	"mbserver/server/origin"
)

// Places are counted by address, exactly, and what is given back leaves nothing.
func TestPlacesOfAddresses(t *testing.T) {
	of := []netip.Addr{
		netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.1"), // the same
		netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("::1"),
		netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:0:0:1"), // one /64
		netip.MustParseAddr("2001:db8:0:1::1"), netip.MustParseAddr("::c000:201"),
		{}, // not counted
	}
	rapid.Check(t, func(t *rapid.T) {
		const most, everybody = 3, 8
		b := &Broker{addresses: addresses{most: most}, empty: make(chan struct{}, 1)}
		b.state.Store(int32(accepting))
		b.places.Store(everybody)
		b.budget.set(1 << 30)
		var inside []netip.Addr
		has := make(map[netip.Addr]int)
		t.Repeat(map[string]func(*rapid.T){
			"admit": func(t *rapid.T) {
				a := rapid.SampledFrom(of).Draw(t, "address")
				want, network := "", origin.Network(a)
				switch {
				case len(inside) == everybody:
					want = "connection_limit"
				case a.IsValid() && has[network] == most:
					want = "address"
				default:
					inside = append(inside, a)
					has[network]++
				}
				if got := b.Admit(a); got != want {
					t.Fatalf("%v: %q, want %q", a, got, want)
				}
			},
			"release": func(t *rapid.T) {
				if len(inside) == 0 {
					t.Skip("nobody is inside")
				}
				i := rapid.IntRange(0, len(inside)-1).Draw(t, "whom")
				has[origin.Network(inside[i])]--
				b.Release(inside[i])
				inside = append(inside[:i], inside[i+1:]...)
			},
			"": func(t *rapid.T) {
				held := 0
				for network, n := range has {
					if n > 0 && network.IsValid() {
						held++
					}
				}
				if len(b.addresses.places) != held || b.connections.Load() != int64(len(inside)) {
					t.Fatalf("%v for %d addresses; %d places for %d", b.addresses.places, held,
						b.connections.Load(), len(inside))
				}
			},
		})
	})
}

// However a connection ends, its address has its place back.
func TestPlaceOfAnAddressIsGivenBack(t *testing.T) {
	for name, end := range map[string]func(*testClient){
		"its peer closes":    func(k *testClient) { k.hangUp(false) },
		"its peer resets":    func(k *testClient) { k.hangUp(true) },
		"its loop ends":      func(k *testClient) { k.Cut() },
		"it is cut":          func(k *testClient) { k.abort() },
		"framing is lost":    func(k *testClient) { k.arrive([]byte("PROXY TCP4 ")) },
		"the node goes away": func(k *testClient) { k.loop.goAway() },
		"it falls silent": func(k *testClient) {
			k.node.pass(2 * k.loop.broker.heartbeatDeregister)
		},
	} {
		n := newTestNode(t, 1, 1, func(cfg *config.Config) { cfg.Connection.MaxPerAddress = 1 })
		from := netip.MustParseAddrPort("192.0.2.7:1")
		if why := n.Admit(from.Addr()); why != "" {
			t.Fatal(why)
		}
		k := n.enter(0, &Arrival{Transport: TransportTCP, Remote: from, Counted: true})
		n.settle()
		if why := n.Admit(from.Addr()); why != "address" {
			t.Errorf("%s: a second one is told %q", name, why)
		}
		n.wake(k.loop)
		k.loop.begin()
		end(k)
		n.settle()
		n.pass(2 * lingerTime.Milliseconds())
		if len(n.addresses.places) != 0 || n.connections.Load() != 0 {
			t.Errorf("%s: %v, %d connections", name, n.addresses.places, n.connections.Load())
		}
	}
}
