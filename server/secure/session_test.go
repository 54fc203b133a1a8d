package secure

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// identity writes a certificate for localhost and its key, valid from now on for so long, and
// returns their paths and whom it is to be trusted by. A negative time makes one that has expired.
func identity(t testing.TB, valid time.Duration) (files Files, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{
			x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth,
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	dir := t.TempDir()
	files.Certificate = write(t, dir, "cert.pem", "CERTIFICATE", der)
	files.Key = write(t, dir, "key.pem", "PRIVATE KEY", keyDER)
	return files, roots
}

func write(t testing.TB, dir, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open opens files that are as they should be.
func open(t testing.TB, files Files) *Certificates {
	t.Helper()
	c, err := Open(files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// link carries what two ends write in pieces of random size, as a network does. Test goroutine only
// on the server's side; the client is a tls.Conn over a pipe.
type link struct {
	t       testing.TB
	rand    *mrand.Rand
	conn    net.Conn // the server's end
	client  *tls.Conn
	session *Session
	failed  error // of the handshake
}

// connect makes a handshake between a client and c, and returns what becomes of it.
func connect(t testing.TB, c *Certificates, web bool, cfg *tls.Config) *link {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	end := time.Now().Add(patience)
	_, _ = near.SetDeadline(end), far.SetDeadline(end)
	k := &link{
		t: t, rand: mrand.New(mrand.NewPCG(1, 2)), conn: near, client: tls.Client(far, cfg),
	}
	shaken := make(chan error, 1)
	go func() {
		err := k.client.Handshake()
		if err != nil {
			_ = far.Close()
		}
		shaken <- err
	}()
	h := c.Begin(web)
	defer h.Stop()
	for done := false; !done && k.failed == nil; {
		in := k.read()
		if in == nil {
			k.failed = io.EOF
			break
		}
		for len(in) > 0 && k.failed == nil && !done {
			n := 1 + k.rand.IntN(len(in))
			if k.failed = h.Feed(in[:n]); k.failed == nil {
				done, k.failed = h.Step()
			}
			in = in[n:]
			k.write(h.Answer())
		}
		if done && len(in) > 0 {
			_ = h.Feed(in)
		}
	}
	if k.failed == nil {
		k.session = h.Session()
		// What the server sends behind the handshake is read by the client's first Read.
		if err := <-shaken; err != nil {
			k.failed = err
		}
	} else {
		_ = near.Close()
		k.failed = errors.Join(k.failed, <-shaken)
	}
	return k
}

// read returns what the client sends at once; nil: its end.
func (k *link) read() []byte {
	buf := make([]byte, 64<<10)
	n, err := k.conn.Read(buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// write sends to the client, which may have gone.
func (k *link) write(b []byte) {
	if len(b) > 0 {
		_, _ = k.conn.Write(b)
	}
}

func trusting(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// Whatever the client sends, in records of whatever size, in pieces of whatever size, is opened as
// it was; what is sealed, the client reads as it was.
func TestSessionCarriesAnything(t *testing.T) {
	files, roots := identity(t, time.Hour)
	c := open(t, files)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := trusting(roots)
		cfg.MinVersion, cfg.MaxVersion = version, version
		k := connect(t, c, false, cfg)
		if k.failed != nil {
			t.Fatal(k.failed)
		}
		var sent []byte
		go func() {
			for _, n := range []int{1, 100, 16 << 10, 1, 1, 200 << 10, 3} {
				part := bytes.Repeat([]byte{byte(n)}, n)
				_, _ = k.client.Write(part)
			}
			_ = k.client.CloseWrite()
		}()
		for _, n := range []int{1, 100, 16 << 10, 1, 1, 200 << 10, 3} {
			sent = append(sent, bytes.Repeat([]byte{byte(n)}, n)...)
		}
		var got []byte
		var err error
		for err == nil {
			in := k.read()
			for len(in) > 0 && err == nil {
				n := 1 + k.rand.IntN(len(in))
				var more []byte
				more, err = k.session.Open(nil, in[:n])
				got, in = append(got, more...), in[n:]
			}
		}
		if !errors.Is(err, ErrEnded) || !bytes.Equal(got, sent) {
			t.Errorf("%x: %d bytes of %d, then %v", version, len(got), len(sent), err)
		}
		// Our direction stands after the client's has ended.
		records, err := k.session.Seal(nil, sent)
		if err != nil {
			t.Fatal(err)
		}
		records = k.session.Finish(records)
		go func() { k.write(records) }()
		if back, err := io.ReadAll(k.client); err != nil || !bytes.Equal(back, sent) {
			t.Errorf("%x: the client got %d bytes of %d, then %v",
				version, len(back), len(sent), err)
		}
	}
}
