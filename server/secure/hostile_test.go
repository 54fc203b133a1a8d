package secure

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"
)

// Kinds of records, and of handshake messages (RFC 8446).
const (
	kindAlert       = 21
	kindData        = 23
	typeHello       = 1
	typeCertificate = 11
	typeKeyUpdate   = 24
)

// forged makes a handshake with a client that then writes records of its own making.
func forged(t *testing.T) (*link, *forger) {
	t.Helper()
	files, roots := identity(t, time.Hour)
	cfg := trusting(roots)
	secrets := forgeable(cfg)
	k := connect(t, open(t, files), false, cfg)
	if k.failed != nil {
		t.Fatal(k.failed)
	}
	// What came with the end of the handshake, if anything did.
	if _, err := k.session.Open(nil, nil); err != nil {
		t.Fatal(err)
	}
	return k, newForger(t, secrets)
}

// A message that is no plaintext and never ends is not kept: the session ends when there is more of
// it than anything needs, and is charged what there is.
func TestMessageThatNeverEnds(t *testing.T) {
	k, f := forged(t)
	before := k.session.Held()
	message := append([]byte{typeCertificate, 3, 0xFF, 0xFF}, make([]byte, 256<<10)...)
	fed := 0
	for {
		plain, err := k.session.Open(nil, f.record(recordHandshake, message[fed:fed+1<<10], 0))
		if len(plain) > 0 {
			t.Fatalf("%d bytes of plaintext", len(plain))
		}
		if err != nil {
			if !errors.Is(err, ErrTooLong) {
				t.Error(err)
			}
			break
		}
		if fed += 1 << 10; fed > 2*muteMax {
			t.Fatalf("it still waits after %d bytes", fed)
		}
		if held := k.session.Held(); held < before+fed-usualRoom {
			t.Fatalf("held %d after %d bytes, %d before", held, fed, before)
		}
	}
	if fed < muteMax/2 {
		t.Errorf("it ended after %d bytes", fed)
	}
	if _, err := k.session.Open(nil, f.record(kindData, []byte("x"), 0)); err == nil {
		t.Error("it goes on")
	}
}

// Whatever a client may send besides data, and may not, has the end that the standard wants, and
// only that.
func TestRecordsBesideData(t *testing.T) {
	hello := []byte{typeHello, 0, 0, 2, 3, 3}
	for _, c := range []struct {
		name    string
		records func(f *forger) [][]byte
		plain   string
		ends    bool
	}{
		{"padding", func(f *forger) [][]byte {
			return [][]byte{f.record(kindData, []byte("a"), 15<<10), f.record(kindData, nil, 100)}
		}, "a", false},
		{"bytes one by one", func(f *forger) (all [][]byte) {
			for _, b := range "abcdefgh" {
				all = append(all, f.record(kindData, []byte(string(b)), 0))
			}
			return all
		}, "abcdefgh", false},
		{"empty records without an end", func(f *forger) (all [][]byte) {
			for range 100 {
				all = append(all, f.record(kindData, nil, 0))
			}
			return all
		}, "", true},
		{"changes of keys without an end", func(f *forger) (all [][]byte) {
			all = append(all, f.record(recordHandshake,
				bytes.Repeat([]byte{typeKeyUpdate, 0, 0, 1, 1}, 100), 0))
			return all
		}, "", true},
		{"renegotiation", func(f *forger) [][]byte {
			return [][]byte{f.record(kindData, []byte("a"), 0), f.record(recordHandshake, hello, 0)}
		}, "a", true},
		{"data inside a message", func(f *forger) [][]byte {
			return [][]byte{
				f.record(recordHandshake, []byte{typeKeyUpdate, 0}, 0),
				f.record(kindData, []byte("a"), 0),
			}
		}, "", true},
		{"an alert", func(f *forger) [][]byte {
			return [][]byte{f.record(kindAlert, []byte{2, 80}, 0)}
		}, "", true},
		{"an empty alert", func(f *forger) [][]byte {
			return [][]byte{f.record(kindAlert, nil, 0)}
		}, "", true},
		{"a forgery", func(f *forger) [][]byte {
			r := f.record(kindData, []byte("a"), 0)
			r[len(r)-1] ^= 1
			return [][]byte{r}
		}, "", true},
		{"a record again", func(f *forger) [][]byte {
			r := f.record(kindData, []byte("a"), 0)
			return [][]byte{r, r}
		}, "a", true},
		{"in the clear", func(*forger) [][]byte {
			return [][]byte{{kindData, 3, 3, 0, 1, 'a'}}
		}, "", true},
		{"too long", func(*forger) [][]byte {
			return [][]byte{append([]byte{kindData, 3, 3, 0x7F, 0xFF}, make([]byte, 0x7FFF)...)}
		}, "", true},
		{"no kind", func(f *forger) [][]byte { return [][]byte{f.record(0, nil, 200)} }, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, f := forged(t)
			var got []byte
			var err error
			for _, r := range c.records(f) {
				for _, piece := range [][]byte{r[:1], r[1:min(7, len(r))], r[min(7, len(r)):]} {
					if got, err = k.session.Open(got, piece); err != nil {
						break
					}
				}
			}
			if string(got) != c.plain || (err != nil) != c.ends {
				t.Errorf("%q, then %v", got, err)
			}
			if answer := k.session.Answer(); len(answer) > 8<<10 {
				t.Errorf("it answers with %d bytes", len(answer))
			}
		})
	}
}

// A client may change its keys at any time, and ask for ours to change.
func TestChangeOfKeys(t *testing.T) {
	files, roots := identity(t, time.Hour)
	cfg := trusting(roots)
	secrets := forgeable(cfg)
	k := connect(t, open(t, files), false, cfg)
	if k.failed != nil {
		t.Fatal(k.failed)
	}
	f := newForger(t, secrets)
	for range 3 {
		wire := f.record(recordHandshake, []byte{typeKeyUpdate, 0, 0, 1, 1}, 0)
		f.use(f.next)
		wire = append(wire, f.record(kindData, []byte("behind"), 0)...)
		got, err := k.session.Open(nil, wire)
		if err != nil || string(got) != "behind" {
			t.Fatalf("%q, %v", got, err)
		}
		if len(k.session.Answer()) == 0 {
			t.Fatal("our keys do not change")
		}
	}
}

// Who is not asked for a certificate cannot make the node keep a chain of them, in whatever it
// sends before its handshake is done.
func TestHalfHandshakeIsBounded(t *testing.T) {
	files, _ := identity(t, time.Hour)
	for _, asks := range []bool{false, true} {
		most := HelloMax + 8<<10
		if asks {
			files.ClientCA, most = files.Certificate, feedMaxChain
		}
		h := open(t, files).Begin(false)
		var err error
		fed := 0
		for err == nil && fed <= 2*feedMaxChain {
			piece := append([]byte{recordHandshake, 3, 1, 4, 0}, make([]byte, 1<<10)...)
			copy(piece[5:], []byte{typeHello, 0, 0xFF, 0xFF})
			if fed > 0 {
				clear(piece[5:])
			}
			if err = h.Feed(piece); err == nil {
				fed += len(piece)
				_, err = h.Step()
			}
		}
		if !errors.Is(err, ErrTooLong) || fed > most || h.Fed() < fed {
			t.Errorf("asks %v: %d bytes (%d counted), then %v", asks, fed, h.Fed(), err)
		}
		h.Stop()
	}
}

// A hello is complete when all of it is there, however it is cut into records and pieces, and never
// an error then; what is none is told at the first byte that says so.
func FuzzHello(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 3)
	f.Add([]byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 9}, 2)
	f.Add([]byte{22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 4, 0, 0, 1, 9}, 1)
	f.Add([]byte{22, 3, 1, 0, 1, 2}, 1)
	f.Add([]byte{22, 3, 1, 0, 4, 1, 0xFF, 0xFF, 0xFF}, 4)
	f.Fuzz(func(t *testing.T, flight []byte, step int) {
		if step < 1 || len(flight) > 2*HelloMax {
			return
		}
		var whole Hello
		want, wantErr := whole.Complete(flight)
		var pieces Hello
		for n := step; ; n += step {
			n = min(n, len(flight))
			got, err := pieces.Complete(flight[:n])
			if err != nil && err != ErrNotTLS && err != ErrTooLong {
				t.Fatal(err)
			}
			if got || err != nil || n == len(flight) {
				if err != ErrTooLong && wantErr != ErrTooLong && (got != want || err != wantErr) {
					t.Fatalf("in pieces %v %v, at once %v %v", got, err, want, wantErr)
				}
				return
			}
		}
	})
}

// What comes from a network is never a fault of ours: any change of any byte of a client's
// handshake ends it, or not, but the node goes on.
func FuzzHandshake(f *testing.F) {
	files, roots := identity(f, time.Hour)
	files.ClientCA = files.Certificate
	c := open(f, files)
	hello := helloOf(f, roots)
	f.Add(hello, []byte{})
	f.Add(hello, []byte{20, 3, 3, 0, 1, 1})
	f.Add(hello[:100], []byte{recordHandshake, 3, 3, 0, 4, typeCertificate, 3, 0xFF, 0xFF})
	f.Fuzz(func(_ *testing.T, first, second []byte) {
		h := c.Begin(true)
		defer h.Stop()
		for _, piece := range [][]byte{first, second} {
			if h.Feed(piece) != nil {
				return
			}
			done, err := h.Step()
			h.Answer()
			if done || err != nil {
				return
			}
		}
	})
}

// helloOf returns the first flight of a client.
func helloOf(t testing.TB, roots *x509.CertPool) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		_ = tls.Client(far, trusting(roots)).Handshake()
		_ = far.Close()
	}()
	buf := make([]byte, 4<<10)
	n, err := near.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}
