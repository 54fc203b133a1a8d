package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// place is where a node echoes.
type place struct {
	address string
	secure  *tls.Config // of its clients; nil: it speaks plainly
	deflate bool        // clients agree with it on permessage-deflate
}

// way is how a node is spoken to.
type way uint8

const (
	plainly way = iota
	securely
	deflating
)

// ways are all of them, by their names.
var ways = map[string]way{"ws": plainly, "wss": securely, "deflate": deflating}

// startSuite runs a node that echoes.
func startSuite(t *testing.T, maxMessage int, by way) *place {
	t.Helper()
	o := options{address: "127.0.0.1:0", maxMessage: maxMessage, deflate: by == deflating}
	p := &place{deflate: o.deflate}
	if by == securely {
		o.cert, o.key, p.secure = identity(t)
	}
	cfg, err := o.config()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Loops = 2
	n, err := start(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	p.address = n.Addr("ws") + n.Addr("wss")
	return p
}

// identity writes a certificate and its key, and says what clients make of them.
func identity(t *testing.T) (cert, key string, clients *tls.Config) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(t.TempDir(), name)
		b = pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	known, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(known)
	clients = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", bytes), clients
}

// dial opens a socket.
func (p *place) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", p.address, patience)
	if err != nil {
		t.Fatal(err)
	}
	if p.secure != nil {
		c = tls.Client(c, p.secure)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}
