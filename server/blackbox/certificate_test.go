package blackbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// identity is a key and a certificate for localhost, in files.
type identity struct {
	key, certificate string // paths
	roots            *x509.CertPool
}

// trust is how a client trusts the identity alone.
func (i *identity) trust() *tls.Config {
	return &tls.Config{RootCAs: i.roots, ServerName: "localhost"}
}

// client is an HTTP client that does. It keeps no connection.
func (i *identity) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: i.trust(), DisableKeepAlives: true,
	}}
}

// selfSigned makes an identity in a folder.
func selfSigned(dir string) (i identity, err error) {
	return signed(dir, time.Now().Add(-time.Hour), time.Now().Add(30*24*time.Hour))
}

// signed is selfSigned for a certificate that is valid at some other time.
func signed(dir string, from, to time.Time) (i identity, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return i, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{
			x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth,
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return i, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return i, err
	}
	i.key, i.certificate = filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	for path, block := range map[string]*pem.Block{
		i.key:         {Type: "PRIVATE KEY", Bytes: keyDER},
		i.certificate: {Type: "CERTIFICATE", Bytes: der},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return i, err
		}
	}
	parsed, err := x509.ParseCertificate(der)
	i.roots = x509.NewCertPool()
	i.roots.AddCert(parsed)
	return i, err
}

// identify makes an identity for a test.
func identify(t testing.TB) identity {
	t.Helper()
	i, err := selfSigned(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// A node refuses to start with another's key, naming the setting.
func TestS9_Certificate(t *testing.T) {
	t.Parallel()
	other := identify(t)
	wrong, err := tryNode(t, launch{settings: []string{"ssl.key=" + other.key}})
	if err == nil {
		t.Cleanup(wrong.finish)
		t.Fatal("it starts with a key that is not the certificate's")
	}
	code := wrong.cmd.ProcessState.ExitCode()
	if code != 2 || !strings.Contains(err.Error(), "ssl.") {
		t.Errorf("exit code %d: %v", code, err)
	}
}
