package origin

import (
	"net/netip"
	"strings"
	"testing"
)

func networks(t testing.TB, list ...string) (n Networks) {
	t.Helper()
	for _, s := range list {
		p, ok := ParseNetwork(s)
		if !ok {
			t.Fatalf("%q is no network", s)
		}
		n = append(n, p)
	}
	return n
}

func TestNetwork(t *testing.T) {
	for _, tt := range []struct{ address, want string }{
		{"192.0.2.1", "192.0.2.1"}, {"::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"}, {"fe80::1%eth0", "fe80::"}, {"::1", "::"},
	} {
		if got := Network(netip.MustParseAddr(tt.address)); got != netip.MustParseAddr(tt.want) {
			t.Errorf("%s counts as %v, not %s", tt.address, got, tt.want)
		}
	}
	if got := Network(netip.Addr{}); got.IsValid() {
		t.Errorf("no address counts as %v", got)
	}
}

func TestNetworks(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"10.0.0.0/8", "10.0.0.0/8"}, {"10.1.2.3/8", "10.0.0.0/8"}, {"192.0.2.1", "192.0.2.1/32"},
		{"::1", "::1/128"}, {"2001:db8::1/32", "2001:db8::/32"}, {"0.0.0.0/0", "0.0.0.0/0"},
		{"::ffff:10.0.0.1", "10.0.0.1/32"}, {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
		{"::/0", "::/0"},
		{"10.0.0.0/33", ""}, {"10.0.0/8", ""}, {"", ""}, {"localhost", ""}, {"fe80::1%lo", ""},
		{"fe80::1%lo/64", ""}, {"10.0.0.0/8 ", ""}, {"10.0.0.0/08", ""},
	} {
		got, ok := ParseNetwork(tt.text)
		if ok != (tt.want != "") || ok && got.String() != tt.want {
			t.Errorf("%q is %v %v, want %q", tt.text, got, ok, tt.want)
		}
	}
	n := networks(t, "10.0.0.0/8", "2001:db8::/32")
	for address, want := range map[string]bool{
		"10.255.0.1": true, "11.0.0.1": false, "::ffff:10.0.0.1": true, "2001:db8:ffff::1": true,
		"2001:db9::": false, "2001:db8::1%eth0": true,
	} {
		if n.Has(netip.MustParseAddr(address)) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
	if n.Has(netip.Addr{}) || Networks(nil).Has(netip.MustParseAddr("10.0.0.1")) {
		t.Error("nobody is trusted")
	}
}

// Who a handshake comes from: the right-most address that is not a trusted balancer's.
func TestClient(t *testing.T) {
	trusted := networks(t, "10.0.0.0/8", "2001:db8::/32")
	const peer = "10.0.0.1:999"
	for _, tt := range []struct{ name, peer, x, forwarded, want string }{
		{"nothing", peer, "", "", peer},
		{"one", peer, "203.0.113.9", "", "203.0.113.9:0"},
		{"forged before it", peer, "198.51.100.1, 203.0.113.9", "", "203.0.113.9:0"},
		{"through another balancer", peer, "198.51.100.1,203.0.113.9 ,10.9.9.9", "",
			"203.0.113.9:0"},
		{"trusted all the way", peer, "10.3.3.3, 10.9.9.9", "", "10.3.3.3:0"},
		{"from who is not trusted", "192.0.2.1:5", "203.0.113.9", "for=203.0.113.9", "192.0.2.1:5"},
		{"malformed, from who is not trusted", "192.0.2.1:5", "x", `for="`, "192.0.2.1:5"},
		{"with a port", peer, "203.0.113.9:4711", "", "203.0.113.9:4711"},
		{"IPv6", peer, "2001:db9::1", "", "[2001:db9::1]:0"},
		{"IPv6 in brackets", peer, "[2001:db9::1]", "", "[2001:db9::1]:0"},
		{"IPv6 with a port", peer, "[2001:db9::1]:4711", "", "[2001:db9::1]:4711"},
		{"IPv4 as IPv6", peer, "::ffff:203.0.113.9", "", "203.0.113.9:0"},
		{"unknown", peer, "203.0.113.9, unknown", "", peer},
		{"unknown behind a balancer", peer, "203.0.113.9, unknown, 10.9.9.9", "", "10.9.9.9:0"},
		{"empty elements", peer, ", 203.0.113.9 ,, ", "", "203.0.113.9:0"},
		{"a zone", peer, "fe80::1%eth0", "", peer},

		{"Forwarded", peer, "", "for=203.0.113.9", "203.0.113.9:0"},
		{"its forms", peer, "",
			`for=198.51.100.1;proto=http , By=10.0.0.1; FOR="[2001:db9::1]:4711" ;host=a`,
			"[2001:db9::1]:4711"},
		{"a comma in quotes", peer, "", `host="a,for=198.51.100.1";for=203.0.113.9`,
			"203.0.113.9:0"},
		{"an escape", peer, "", `for="203.0.113\.9"`, "203.0.113.9:0"},
		{"a quote escaped", peer, "", `host="\",for=198.51.100.1";for=203.0.113.9`,
			"203.0.113.9:0"},
		{"brackets without quotes", peer, "", `for=[2001:db9::1]`, "[2001:db9::1]:0"},
		{"obfuscated", peer, "", `for=203.0.113.9, for=_hidden`, peer},
		{"nobody named", peer, "", `for=203.0.113.9, proto=https`, peer},
		{"empty", peer, "", `for=203.0.113.9,, for=10.9.9.9 ,`, "203.0.113.9:0"},
		{"a semicolon at the end", peer, "", `for=203.0.113.9;`, "203.0.113.9:0"},
		{"both", peer, "203.0.113.9", `for="203.0.113.9:4711"`, "203.0.113.9:4711"},

		{"both, and they differ", peer, "203.0.113.9", "for=198.51.100.1", ""},
		{"quotes that do not end", peer, "", `for="203.0.113.9`, ""},
		{"quotes that swallow the last", peer, "", `for="x, for=203.0.113.9`, ""},
		{"text behind quotes", peer, "", `for="203.0.113.9"x`, ""},
		{"twice", peer, "", "for=198.51.100.1;for=203.0.113.9", ""},
		{"no value", peer, "", "for=;proto=http", ""},
		{"no pair", peer, "", "203.0.113.9", ""},
		{"no name", peer, "", "=203.0.113.9", ""},
		{"a space in it", peer, "", "for =203.0.113.9", ""},
		{"two values", peer, "", "for=a=b", ""},
	} {
		got, err := trusted.Client(netip.MustParseAddrPort(tt.peer), tt.x, tt.forwarded)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s: %v", tt.name, got)
			}
		} else if err != nil || got != netip.MustParseAddrPort(tt.want) {
			t.Errorf("%s: %v %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestLastElement(t *testing.T) {
	for list, want := range map[string]string{
		"a": "a", "a, b ": "b", "": "", "a,": "",
	} {
		if got := LastElement(list); got != want {
			t.Errorf("%q: %q", list, got)
		}
	}
}

// What a client sends never decides who it is once a balancer has added its address; and who is not
// trusted decides nothing.
func FuzzForwarded(f *testing.F) {
	f.Add("198.51.100.1, 10.0.0.1", `for="[2001:db8::1]:1";by=x, for=_a`)
	f.Add(`"`, `for="`)
	f.Add(",,", `;for=\",`)
	f.Add("[::1", `a="\`)
	const client = "203.0.113.9"
	trusted := networks(f, "10.0.0.0/8")
	peer, stranger := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("192.0.2.1:1")
	f.Fuzz(func(t *testing.T, x, forwarded string) {
		if got, err := trusted.Client(stranger, x, forwarded); got != stranger || err != nil {
			t.Fatalf("a stranger is %v, %v", got, err)
		}
		if got, err := trusted.Client(peer, x, forwarded); err == nil && !got.IsValid() {
			t.Fatalf("nobody: %v", got)
		}
		if got, err := trusted.Client(peer, x+", "+client, ""); err != nil ||
			got.Addr().String() != client {
			t.Fatalf("X-Forwarded-For %q and its client: %v, %v", x, got, err)
		}
		got, err := trusted.Client(peer, "", forwarded+", for="+client)
		if err == nil && got.Addr().String() != client {
			t.Fatalf("Forwarded %q and its client: %v", forwarded, got)
		}
		if _, alone := trusted.Client(peer, "", forwarded); alone == nil && err != nil {
			t.Fatalf("Forwarded %q alone is well-formed: %v", strings.TrimSpace(forwarded), err)
		}
	})
}
