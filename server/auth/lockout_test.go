package auth

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func TestLockout(t *testing.T) {
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	l := NewLockout(3, 60*time.Second)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for _, tt := range []struct {
		addr   netip.Addr
		second int
		left   int  // 0: not locked
		became bool // locked out by this
	}{
		{a, 0, 0, false}, {a, 1, 0, false}, {b, 1, 0, false}, {a, 2, 0, true}, {a, 10, 52, false},
		{b, 10, 0, false}, {a, 61, 1, false},
		{a, 62, 0, false}, // its time is over, and it begins anew
		{a, 63, 0, false}, {a, 64, 0, true}, {a, 65, 59, false},
		{b, 71, 0, false}, // its failures of second 1 and 10 are forgotten
		{b, 72, 0, false}, {b, 73, 0, true},
	} {
		left, became := l.Failed(tt.addr, at(tt.second))
		if became != tt.became || left != time.Duration(tt.left)*time.Second {
			t.Errorf("%v at %d: %v %v, want %d s", tt.addr, tt.second, left, became, tt.left)
		}
	}
	if left, became := NewLockout(0, time.Second).Failed(a, start); became || left > 0 {
		t.Error("off, and locked")
	}
}

// Of IPv6 the network of 64 bits is one client, in whatever form its addresses are written.
func TestLockoutNetworks(t *testing.T) {
	l := NewLockout(2, time.Minute)
	start := time.Now()
	for _, tt := range []struct {
		addr   string
		became bool
	}{
		{"2001:db8::1", false}, {"2001:db8::ffff:1%eth0", true}, {"2001:db8:0:1::1", false},
		{"::ffff:192.0.2.1", false}, {"192.0.2.1", true},
	} {
		if _, became := l.Failed(netip.MustParseAddr(tt.addr), start); became != tt.became {
			t.Errorf("%s: %v", tt.addr, became)
		}
	}
}

// Memory is bounded: who failed longest ago is forgotten.
func TestLockoutBounded(t *testing.T) {
	l := NewLockout(2, time.Hour)
	start := time.Now()
	addr := func(i int) netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(i))
		return netip.AddrFrom4(b)
	}
	for i := range lockoutMax + 10 {
		l.Failed(addr(i), start)
	}
	if n := len(l.failing); n != lockoutMax {
		t.Errorf("%d are remembered", n)
	}
	if _, became := l.Failed(addr(lockoutMax+9), start); !became {
		t.Error("the newest is forgotten")
	}
	if _, became := l.Failed(addr(0), start); became {
		t.Error("the oldest is not forgotten")
	}
	l.Failed(addr(1), start.Add(2*time.Hour))
	if n := len(l.failing); n != 1 {
		t.Errorf("%d are remembered for ever", n)
	}
}
