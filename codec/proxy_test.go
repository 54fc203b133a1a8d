package codec

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// proxyHeader is a header of version 2: command and family, and what its length counts.
func proxyHeader(command, family byte, rest string) string {
	b := append([]byte(proxyV2), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(rest)))) + rest
}

const (
	proxyFrom4 = "\xcb\x00\x71\x09\x0a\x00\x00\x01\x12\x67\x0b\xb8" // 203.0.113.9:4711
	// 2001:db9::1 port 4711
	proxyFrom6 = "\x20\x01\x0d\xb9\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x12\x67\x0b\xb8"
	proxyMapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xcb\x00\x71\x09" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x00\x00\x01\x12\x67\x0b\xb8"
)

// proxyTLVs are two of the further fields that a balancer may send.
const proxyTLVs = "\x02\x00\x0bapp.example\x20\x00\x05\x01\x00\x00\x00\x00"

func TestProxyGood(t *testing.T) {
	for _, tt := range []struct{ name, header, client string }{
		{"1, IPv4", "PROXY TCP4 203.0.113.9 10.0.0.1 4711 3000\r\n", "203.0.113.9:4711"},
		{"1, IPv6", "PROXY TCP6 2001:db9::1 ::1 4711 3000\r\n", "[2001:db9::1]:4711"},
		{"1, IPv4 as IPv6", "PROXY TCP6 ::ffff:203.0.113.9 ::1 4711 3000\r\n", "203.0.113.9:4711"},
		{"1, unknown", "PROXY UNKNOWN\r\n", ""},
		{"1, unknown with more", "PROXY UNKNOWN ffff:f::1 what ever\r\n", ""},
		{"1, as long as can be", "PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n", ""},
		{"2, IPv4", proxyHeader(0x21, 0x11, proxyFrom4), "203.0.113.9:4711"},
		{"2, IPv6", proxyHeader(0x21, 0x21, proxyFrom6), "[2001:db9::1]:4711"},
		{"2, IPv4 as IPv6", proxyHeader(0x21, 0x21, proxyMapped), "203.0.113.9:4711"},
		{"2, a datagram's", proxyHeader(0x21, 0x12, proxyFrom4), "203.0.113.9:4711"},
		{"2, with more fields", proxyHeader(0x21, 0x11, proxyFrom4+proxyTLVs), "203.0.113.9:4711"},
		{"2, as long as may be",
			proxyHeader(0x21, 0x11, proxyFrom4+strings.Repeat("\x04", proxyRest-12)),
			"203.0.113.9:4711"},
		{"2, a socket of the machine", proxyHeader(0x21, 0x31, strings.Repeat("a", 216)), ""},
		{"2, local", proxyHeader(0x20, 0, ""), ""},
		{"2, local with an address", proxyHeader(0x20, 0x11, proxyFrom4), ""},
		{"2, local with fields", proxyHeader(0x20, 0, proxyTLVs), ""},
		{"2, unspecified", proxyHeader(0x21, 0, ""), ""},
		{"2, unspecified with fields", proxyHeader(0x21, 0, proxyTLVs), ""},
	} {
		var want netip.AddrPort
		if tt.client != "" {
			want = netip.MustParseAddrPort(tt.client)
		}
		for at := range len(tt.header) {
			if _, n, err := ParseProxy([]byte(tt.header[:at])); n != 0 || err != nil {
				t.Fatalf("%s: the first %d bytes: %d %v", tt.name, at, n, err)
			}
		}
		client, n, err := ParseProxy([]byte(tt.header + "GET / HTTP/1.1"))
		if err != nil || n != len(tt.header) || client != want {
			t.Errorf("%s: %v, %d of %d, %v", tt.name, client, n, len(tt.header), err)
		}
		if n > MaxProxy {
			t.Errorf("%s: %d bytes", tt.name, n)
		}
	}
}

func TestProxyBad(t *testing.T) {
	for _, tt := range []struct {
		name, head string
		none       bool // it is no header at all
	}{
		{"a request", "GET / HTTP/1.1\r\n", true},
		{"a handshake of TLS", "\x16\x03\x01", true},
		{"a message", "\x00\x00\x00\x02no", true},
		{"another method", "PROPFIND / HTTP/1.1\r\n", true},
		{"lower case", "proxy TCP4", true},
		{"no space", "PROXYTCP4", true},
		{"empty lines", "\r\n\r\nGET", true},

		{"1, no CR", "PROXY TCP4 203.0.113.9 10.0.0.1 4711 3000\n", false},
		{"1, a name", "PROXY TCP4 app.example 10.0.0.1 4711 3000\r\n", false},
		{"1, other family", "PROXY TCP4 2001:db9::1 ::1 4711 3000\r\n", false},
		{"1, UDP", "PROXY UDP4 203.0.113.9 10.0.0.1 4711 3000\r\n", false},
		{"1, a word less", "PROXY TCP4 203.0.113.9 10.0.0.1 4711\r\n", false},
		{"1, a word more", "PROXY TCP4 203.0.113.9 10.0.0.1 4711 3000 x\r\n", false},
		{"1, two spaces", "PROXY TCP4  203.0.113.9 10.0.0.1 4711 3000\r\n", false},
		{"1, a large port", "PROXY TCP4 203.0.113.9 10.0.0.1 65536 3000\r\n", false},
		{"1, leading zero", "PROXY TCP4 203.0.113.9 10.0.0.1 04711 3000\r\n", false},
		{"1, a zone", "PROXY TCP6 fe80::1%eth0 ::1 4711 3000\r\n", false},
		{"1, a byte too long", "PROXY UNKNOWN " + strings.Repeat("f", 93), false},
		{"2, version 1", proxyHeader(0x11, 0x11, proxyFrom4), false},
		{"2, version 3", proxyHeader(0x31, 0x11, proxyFrom4), false},
		{"2, another command", proxyHeader(0x22, 0x11, proxyFrom4), false},
		{"2, another family", proxyHeader(0x21, 0x41, proxyFrom4), false},
		{"2, another transport", proxyHeader(0x21, 0x13, proxyFrom4), false},
		{"2, no room for its address", proxyHeader(0x21, 0x21, proxyFrom4), false},
		{"2, a byte too long", proxyHeader(0x21, 0x11, strings.Repeat("x", proxyRest+1))[:16],
			false},
		{"2, local, a byte too long",
			proxyHeader(0x20, 0x00, strings.Repeat("x", proxyRest+1))[:16], false},
	} {
		_, n, err := ParseProxy([]byte(tt.head))
		if n != 0 || err == nil || errors.Is(err, ErrNoProxy) != tt.none {
			t.Errorf("%s: %d, %v", tt.name, n, err)
		}
		_, n, err = ParseProxy([]byte(tt.head + strings.Repeat("\r\n", 3000)))
		if n != 0 || err == nil {
			t.Errorf("%s, with more behind it: %d, %v", tt.name, n, err)
		}
	}
}

func TestProxyLength(t *testing.T) {
	for _, head := range []string{"PROXY TCP4", proxyHeader(0x21, 0, "")} {
		if !ProxyLength(uint64(binary.BigEndian.Uint32([]byte(head)))) {
			t.Errorf("%q begins no header", head)
		}
	}
	for _, n := range []uint64{0, 16384, 1 << 28, 1<<32 - 1} {
		if ProxyLength(n) {
			t.Errorf("%d begins a header", n)
		}
	}
}

// In whatever pieces it comes, a header is the same; it takes at most MaxProxy bytes, and whom it
// names is an address.
func FuzzProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.9 10.0.0.1 4711 3000\r\nGET"), uint8(3))
	f.Add([]byte("PROXY UNKNOWN x\r\n"), uint8(1))
	f.Add([]byte(proxyHeader(0x21, 0x11, proxyFrom4+proxyTLVs)+"rest"), uint8(7))
	f.Add([]byte(proxyHeader(0x21, 0x21, proxyFrom6)), uint8(1))
	f.Add([]byte(proxyHeader(0x20, 0x11, "x")), uint8(5))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		client, n, err := ParseProxy(stream)
		if n > MaxProxy || n > len(stream) || err != nil && (n != 0 || client.IsValid()) ||
			client != (netip.AddrPort{}) && !client.Addr().IsValid() {
			t.Fatalf("%q: %v %d %v", stream, client, n, err)
		}
		whole, part := Signed(stream)
		if (n > 0 || err != nil && !errors.Is(err, ErrNoProxy)) && !whole || whole && part {
			t.Fatalf("%q: %v %v, %d %v", stream, whole, part, n, err)
		}
		if n == 0 && err == nil && len(stream) > MaxProxy {
			t.Fatalf("%d bytes are not enough", len(stream))
		}
		for at := 0; ; at = min(at+int(step)+1, len(stream)) {
			client2, n2, err2 := ParseProxy(stream[:at])
			if n2 == 0 && err2 == nil && at < len(stream) {
				continue
			}
			if client2 != client || n2 != n || (err2 == nil) != (err == nil) {
				t.Fatalf("%q in pieces of %d: %v %d %v, whole: %v %d %v",
					stream, step, client2, n2, err2, client, n, err)
			}
			return
		}
	})
}
