package door

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"mbserver/server/broker"
	"mbserver/server/config"
	"mbserver/server/secure"
)

// certify makes certificates for a test, which clients cannot check.
func certify(t testing.TB) *secure.Certificates {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := secure.Files{
		Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"),
	}
	for path, block := range map[string]*pem.Block{
		files.Certificate: {Type: "CERTIFICATE", Bytes: der},
		files.Key:         {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := secure.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func withTLS(cfg *config.Config) { cfg.Ports.WSS, cfg.Ports.TLS = config.AnyPort, config.AnyPort }

// careless is for clients that do not look whom they speak with.
var careless = &tls.Config{InsecureSkipVerify: true}

// clientHello returns the first flight of a client.
func clientHello(t testing.TB) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		_ = tls.Client(far, careless).Handshake()
		_ = far.Close()
	}()
	buf := make([]byte, 4<<10)
	n, err := near.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// Steps wait for their turn, those of each address in turn, and one whose visitor has gone does not
// wait any more.
func TestStepsWait(t *testing.T) {
	t.Parallel()
	c := certify(t)
	q := &steps{} // none may run
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	var all []*step
	for _, from := range []netip.Addr{a, a, a, a, b, b} {
		s := &step{handshake: c.Begin(false), from: from}
		q.start(s)
		all = append(all, s)
	}
	q.cancel(all[1])
	if n := q.waiting.Len(); n != 5 {
		t.Errorf("%d wait after one of 6 has gone", n)
	}
	q.running++
	for i, want := range []*step{all[0], all[4], all[2], all[5], all[3], nil} {
		if s := q.next(); s != want {
			t.Errorf("the %dth is another", i+1)
		}
	}
	if q.running != 0 || q.waiting.Len() != 0 {
		t.Errorf("%d run, %d wait", q.running, q.waiting.Len())
	}
	for _, s := range all {
		s.handshake.Stop()
	}
}

// A fault in a step ends the handshake, not the node.
func TestFaultInStep(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	// A handshake that was never made panics.
	if done, err := h.steps.make(&step{handshake: &secure.Handshake{}}); done || err != errFault {
		t.Errorf("%v, %v", done, err)
	}
}

// Visitors that go while a step of theirs runs, or waits, leave nothing behind, nor do those in the
// door when that is closed.
func TestVisitorsGoWhileStepsRun(t *testing.T) {
	t.Parallel()
	for _, closes := range []bool{false, true} {
		h := open(t, withTLS)
		hello := clientHello(t)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 25 {
					transport := broker.TransportTLS
					if j%2 == 0 {
						transport = broker.TransportWSS
					}
					c, err := net.Dial("tcp", h.Addr(transport.String()))
					if err != nil {
						return // closed
					}
					_, _ = c.Write(hello)
					if (i+j)%3 == 0 {
						var one [1]byte
						_ = c.SetReadDeadline(time.Now().Add(patience))
						_, _ = c.Read(one[:])
					}
					time.Sleep(time.Duration(mrand.IntN(300)) * time.Microsecond)
					_ = c.Close()
				}
			})
		}
		if closes {
			time.Sleep(5 * time.Millisecond)
			h.Close(context.Background())
		}
		wg.Wait()
		h.eventually("nobody is in the door", func() bool { return h.broker.Visitors.Load() == 0 })
		if n := h.broker.Arriving.Load(); n != 0 {
			t.Errorf("%d bytes are still charged", n)
		}
		failed := uint64(0)
		for _, n := range h.broker.TLS.Read().Failed {
			failed += n
		}
		if !closes && failed != 200 {
			t.Errorf("%d handshakes of 200 are counted as failed", failed)
		}
	}
}

// What a half handshake has sent is charged, and no more of it is kept than a hello may have.
func TestHalfHandshakeIsCharged(t *testing.T) {
	t.Parallel()
	h := open(t, withTLS)
	g := h.dial(broker.TransportTLS)
	hello := clientHello(t)
	if _, err := g.Write(hello); err != nil {
		t.Fatal(err)
	}
	_, err := io.ReadFull(g, make([]byte, 100)) // of the answer: a step was made
	if err != nil {
		t.Fatal(err)
	}
	before := h.broker.Arriving.Load()
	if before < handshakeCharge {
		t.Errorf("a handshake is charged %d bytes", before)
	}
	// The rest in the clear, as a record that does not end.
	if _, err := g.Write(append([]byte{22, 3, 3, 0x40, 0}, make([]byte, 10<<10)...)); err != nil {
		t.Fatal(err)
	}
	h.eventually("what has come is charged", func() bool {
		return h.broker.Arriving.Load() >= before+10<<10
	})
	_, _ = g.Write(make([]byte, 16<<10))
	if _, err := io.Copy(io.Discard, g); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	h.eventually("it has gone", func() bool {
		return h.broker.Visitors.Load() == 0 && h.broker.Arriving.Load() == 0
	})
}

// Where somebody may come over TLS, fewer may be in the door than there is memory for.
func TestVisitorsOverTLS(t *testing.T) {
	t.Parallel()
	const memory = 64 << 20
	plain, secure := visitorsOf(memory, 1<<20, 2, false), visitorsOf(memory, 1<<20, 2, true)
	if charged := 2 * secure * (visitorMost + handshakeCharge); charged > memory/visitorMemory ||
		secure >= plain || secure < 10 {
		t.Errorf("%d visitors may come over TLS, %d else", secure, plain)
	}
}
