package blackbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// selfSigned writes a key and a certificate for localhost and returns their paths and the roots
// that trust it.
func selfSigned(t testing.TB) (key, certificate string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(path, block, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return write("key.pem", "PRIVATE KEY", keyDER), write("cert.pem", "CERTIFICATE", der), roots
}

// A node starts with a key and the certificate of it, and refuses another's, naming the setting.
func TestS9_Certificate(t *testing.T) {
	t.Parallel()
	key, certificate, _ := selfSigned(t)
	n := launchNode(t, launch{
		secure: true, settings: []string{"ssl.key=" + key, "ssl.cert=" + certificate},
	})
	n.dial(t, overTCP).none()

	other, _, _ := selfSigned(t)
	wrong, err := tryNode(t, launch{
		secure: true, settings: []string{"ssl.key=" + other, "ssl.cert=" + certificate},
	})
	if err == nil {
		t.Cleanup(wrong.finish)
		t.Fatal("it starts with a key that is not the certificate's")
	}
	code := wrong.cmd.ProcessState.ExitCode()
	if code != 2 || !strings.Contains(err.Error(), "ssl.") {
		t.Errorf("exit code %d: %v", code, err)
	}
}
