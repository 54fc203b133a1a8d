//go:build linux

package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificate is what every server of a run shows over TLS: ECDSA P-256, made for the run.
type certificate struct {
	dir       string // of the files, which end with the run
	cert, key string // files
	trust     *x509.CertPool
}

func newCertificate() (c *certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mb bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	c = &certificate{trust: x509.NewCertPool()}
	c.trust.AddCert(parsed)
	if c.dir, err = os.MkdirTemp("", "mb-bench-"); err != nil {
		return nil, err
	}
	c.cert, c.key = filepath.Join(c.dir, "cert.pem"), filepath.Join(c.dir, "key.pem")
	write := func(path, kind string, der []byte) error {
		block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		return os.WriteFile(path, block, 0o600)
	}
	err = errors.Join(write(c.cert, "CERTIFICATE", der), write(c.key, "PRIVATE KEY", secret))
	if err != nil {
		c.remove()
		return nil, fmt.Errorf("the certificate of the run: %w", err)
	}
	return c, nil
}

func (c *certificate) remove() { _ = os.RemoveAll(c.dir) } // A temporary folder.

// secureConfig is what the generator agrees to: of every server the same version, key exchange and
// cipher, so that what differs are the servers. From is for whom to trust and what to show.
func secureConfig(from *tls.Config) *tls.Config {
	cfg := from.Clone()
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	cfg.CurvePreferences = []tls.CurveID{tls.X25519}
	cfg.ClientSessionCache = nil // Every handshake is a whole one.
	return cfg
}
