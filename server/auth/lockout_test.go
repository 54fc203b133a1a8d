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
		left   int // 0: not locked
	}{
		{a, 0, 0}, {a, 1, 0}, {b, 1, 0}, {a, 2, 60}, {a, 10, 52}, {b, 10, 0}, {a, 61, 1},
		{a, 62, 0}, // its time is over, and it begins anew
		{a, 63, 0}, {a, 64, 60},
		{b, 70, 0}, // its failures of second 1 and 10 are forgotten
		{b, 71, 0}, {b, 72, 60},
	} {
		left, locked := l.Failed(tt.addr, at(tt.second))
		if locked != (tt.left > 0) || left != time.Duration(tt.left)*time.Second {
			t.Errorf("%v at %d: %v %v, want %d s", tt.addr, tt.second, left, locked, tt.left)
		}
	}
	if _, locked := NewLockout(0, time.Second).Failed(a, start); locked {
		t.Error("off, and locked")
	}
}

// Of IPv6 the network of 64 bits is one client, in whatever form its addresses are written.
func TestLockoutNetworks(t *testing.T) {
	l := NewLockout(2, time.Minute)
	start := time.Now()
	for _, tt := range []struct {
		addr   string
		locked bool
	}{
		{"2001:db8::1", false}, {"2001:db8::ffff:1%eth0", true}, {"2001:db8:0:1::1", false},
		{"::ffff:192.0.2.1", false}, {"192.0.2.1", true},
	} {
		if _, locked := l.Failed(netip.MustParseAddr(tt.addr), start); locked != tt.locked {
			t.Errorf("%s: %v", tt.addr, locked)
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
	if _, locked := l.Failed(addr(lockoutMax+9), start); !locked {
		t.Error("the newest is forgotten")
	}
	if _, locked := l.Failed(addr(0), start); locked {
		t.Error("the oldest is not forgotten")
	}
	l.Failed(addr(1), start.Add(2*time.Hour))
	if n := len(l.failing); n != 1 {
		t.Errorf("%d are remembered for ever", n)
	}
}
