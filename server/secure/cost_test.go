//go:build !race

package secure

import (
	"crypto/tls"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// memory is what the heap and the stacks hold, in bytes.
func memory() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// A session costs no more than it is charged, and less than 8 KiB; a half handshake no more than
// the door charges for one, 24 KiB and 3 for each byte fed.
func TestCosts(t *testing.T) {
	const count = 300
	files, roots := identity(t, time.Hour)
	c := open(t, files)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := trusting(roots)
		cfg.MaxVersion = version
		sessions := make([]*Session, count)
		for i := range sessions {
			k := connect(t, c, false, cfg)
			if k.failed != nil {
				t.Fatal(k.failed)
			}
			sessions[i] = k.session
			_, _ = k.session.Open(nil, nil)
			if held := k.session.Held(); held != 0 {
				t.Fatalf("a session that has just begun holds %d bytes", held)
			}
			_ = k.conn.Close()
			_ = k.client.NetConn().Close()
		}
		cost := sessions[0].Cost()
		with := memory()
		runtime.KeepAlive(sessions)
		clear(sessions)
		each := (with - memory()) / count
		t.Logf("%x: a session costs %d bytes", version, each)
		if int64(each) > cost || each > 8<<10 || each < 1<<10 {
			t.Errorf("%x: a session costs %d bytes, charged %d", version, each, cost)
		}
	}

	hello := helloOf(t, roots)
	handshakes := make([]*Handshake, count)
	before := memory()
	for i := range handshakes {
		h := c.Begin(false)
		if err := h.Feed(hello); err != nil {
			t.Fatal(err)
		}
		if done, err := h.Step(); done || err != nil {
			t.Fatal(done, err)
		}
		h.Answer()
		handshakes[i] = h
	}
	each := (memory() - before) / count
	t.Logf("a half handshake costs %d bytes, of which %d were fed", each, len(hello))
	if each > 24<<10+3*len(hello) {
		t.Errorf("a half handshake costs %d bytes", each)
	}
	for _, h := range handshakes {
		h.Stop()
	}
}

func BenchmarkSeal(b *testing.B) {
	files, roots := identity(b, time.Hour)
	k := connect(b, open(b, files), false, trusting(roots))
	for _, size := range []int{128, 16 << 10, 64 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			p, dst := make([]byte, size), make([]byte, 0, size+2<<10)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.session.Seal(dst, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
