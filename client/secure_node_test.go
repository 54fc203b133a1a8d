package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mbserver/client"
	"mbserver/client/clienttest"
)

// secureNode is a node with TLS.
type secureNode struct {
	*node
	authority *clienttest.Authority // signed its certificate
	trusting  *tls.Config           // of who trusts that
	key       string                // SHA-256 of its public key as browsers are told it
}

// newSecureNode is one that is to be started, with these transports.
func newSecureNode(t *testing.T, transports ...string) secureNode {
	t.Helper()
	a, err := clienttest.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	shown, err := a.Issue(time.Time{}, "127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := clienttest.WriteFiles(t.TempDir(), shown)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(shown.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(parsed.RawSubjectPublicKeyInfo)
	n := secureNode{
		node: newNode(t, transports...), authority: a,
		trusting: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.Pool()},
		key:      base64.StdEncoding.EncodeToString(sum[:]),
	}
	n.always = []string{"ssl.cert=" + cert, "ssl.key=" + key}
	return n
}

// Over the node's own TLS: messages of every size, requests, and all of it again when the node has
// been killed and started.
func TestSecureNode(t *testing.T) {
	n := newSecureNode(t, "tls", "wss")
	n.start()
	ctx, cancel := testContext(t)
	defer cancel()
	type end struct {
		c       *client.Client
		got     chan []byte
		renewed chan client.Renewal
	}
	ends := make(map[string]*end)
	for _, transport := range []string{"tls", "wss"} {
		e := &end{got: make(chan []byte, 8), renewed: make(chan client.Renewal, 8)}
		c, err := client.Dial(ctx, n.URL(transport), client.WithTLS(n.trusting),
			client.WithReconnect(10*time.Millisecond, 50*time.Millisecond, 0),
			client.OnReconnect(func(r client.Renewal) { e.renewed <- r }))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_, err = c.Subscribe(ctx, "news."+transport, func(m client.Message) { e.got <- m.Payload })
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Handle(ctx, "echo."+transport,
			func(_ context.Context, r client.Request) ([]byte, error) { return r.Payload, nil })
		if err != nil {
			t.Fatal(err)
		}
		e.c, ends[transport] = c, e
	}
	exchange := func(from, to string) {
		t.Helper()
		for _, size := range []int{0, 1, 64, 16 << 10} {
			sent := bytes.Repeat([]byte{byte(size>>8 + 1)}, size)
			if err := ends[from].c.Publish(ctx, "news."+to, sent); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-ends[to].got:
				if !bytes.Equal(got, sent) {
					t.Errorf("%s to %s: %d bytes arrive as %d others", from, to, size, len(got))
				}
			case <-ctx.Done():
				t.Fatalf("%s to %s: %d bytes do not arrive", from, to, size)
			}
			answer, err := ends[from].c.Request(ctx, "echo."+to, sent)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(answer, sent) {
				t.Errorf("%s to %s: a request of %d bytes is answered with %d others",
					from, to, size, len(answer))
			}
		}
	}
	exchange("tls", "wss")
	exchange("wss", "tls")
	n.end(syscall.SIGKILL)
	n.start()
	for transport, e := range ends {
		select {
		case <-e.renewed:
		case <-ctx.Done():
			t.Fatalf("%s: no connection to the new node", transport)
		}
	}
	exchange("tls", "wss")
	exchange("wss", "tls")
}

// A node that wants certificates of its clients says so to who has none, and lets in who has one.
func TestSecureNodeWantsCertificate(t *testing.T) {
	n := newSecureNode(t, "tls", "wss")
	own, err := n.authority.Issue(time.Time{}, "client")
	if err != nil {
		t.Fatal(err)
	}
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(trusted, n.authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	n.start("auth.certificate.ca="+trusted, "auth.certificate.required=true")
	ctx, cancel := testContext(t)
	defer cancel()
	for _, transport := range []string{"tls", "wss"} {
		with := n.trusting.Clone()
		with.Certificates = []tls.Certificate{own}
		for _, cfg := range []*tls.Config{n.trusting, with} {
			c, err := client.Dial(ctx, n.URL(transport), client.WithTLS(cfg))
			if (err == nil) != (cfg == with) {
				t.Errorf("%s, %d certificates: %v", transport, len(cfg.Certificates), err)
			}
			if err == nil {
				_ = c.Close() // It never fails.
			}
		}
	}
}
