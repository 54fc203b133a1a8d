package client_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"mbserver/client"
)

// knows is the setting of a node that knows an identity by a token, which is "t-" and the name.
func knows(identity string) string {
	return fmt.Sprintf(`auth.tokens=[{"identity":%q,"sha256":"%x"}]`,
		identity, sha256.Sum256([]byte("t-"+identity)))
}

// signed is a token that ends (RFC 7519), signed with the secret.
func signed(secret []byte, identity string, end time.Time) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." +
		encode(fmt.Appendf(nil, `{"sub":%q,"exp":%d}`, identity, end.Unix()))
	sum := hmac.New(sha256.New, secret)
	_, _ = sum.Write([]byte(text)) // It never fails.
	return text + "." + encode(sum.Sum(nil))
}

// A node takes what the client shows, and says who that is, or why not.
func TestNodeIdentity(t *testing.T) {
	n := startNode(t, knows("anna"))
	for _, transport := range []string{"tcp", "ws"} {
		ctx, cancel := testContext(t)
		defer cancel()
		for token, want := range map[string]string{"": "required", "wrong": "invalid"} {
			_, err := client.Dial(ctx, n.URL(transport), client.WithToken(token))
			var e *client.Error
			if !errors.As(err, &e) || !errors.Is(err, client.ErrUnauthorized) ||
				e.Details["reason"] != want {
				t.Errorf("%q over %s: %v", token, transport, err)
			}
		}
		c, err := client.Dial(ctx, n.URL(transport), client.WithToken("t-anna"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }() // It never fails.
		if c.Identity() != "anna" || !c.ExpiresAt().IsZero() {
			t.Errorf("over %s it is %q, until %v", transport, c.Identity(), c.ExpiresAt())
		}
	}
}

// A node is shown the next token before the one it knows ends, and the connection stays.
func TestNodeIdentityRenewed(t *testing.T) {
	secret := bytes.Repeat([]byte("secret"), 8)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "auth.jwt.leeway=0",
		fmt.Sprintf(`auth.jwt.keys=[{"kid":"k","alg":"HS256","file":%q}]`, file))
	ctx, cancel := testContext(t)
	defer cancel()
	life := 3 * time.Second
	lost := make(chan error, 1)
	c, err := client.Dial(ctx, n.URL("ws"), client.WithTokenSource(
		func(context.Context) (string, error) {
			token := signed(secret, "anna", time.Now().Add(life))
			life = time.Hour
			return token, nil
		}), client.OnDisconnect(func(err error) { lost <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // It never fails.
	first := c.ExpiresAt()
	for !c.ExpiresAt().After(first.Add(time.Minute)) {
		select {
		case err := <-lost:
			t.Fatalf("lost: %v", err)
		case <-ctx.Done():
			t.Fatal("not renewed")
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := c.Ping(ctx); err != nil || c.Identity() != "anna" {
		t.Errorf("%q, %v", c.Identity(), err)
	}
}

var tokenProtocols = regexp.MustCompile("`(\\[\"mb\", \"mb\\.token\\.\" \\+ [^`]+\\])`")

// A page shows a token as README.md says: beside the subprotocol mb, which is the one agreed on.
func TestReadmePageWithToken(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	said := tokenProtocols.FindSubmatch(readme)
	if said == nil {
		t.Fatal("README.md does not say how a page shows a token")
	}
	n := startNode(t, knows("anna?>~"), "ws.hosts="+pageHost)
	p := serve(t, fmt.Sprintf(`
const dial = (token) => new WebSocket("ws://%s:%d", %s);
dial("wrong").onclose = ({ code }) => {
  console.log("refused", code);
  const ws = dial("t-anna?>~");
  ws.onopen = () => console.log("protocol", ws.protocol);
  ws.onmessage = ({ data }) => console.log(JSON.parse(data.split("\n")[1]).auth.identity);
};`, pageHost, n.ports["ws"], said[1]))
	p.open(t, pageHost)
	for _, want := range []string{"secure: false", "refused 1006", "protocol mb", "anna?>~"} {
		if got := p.next(t); got != want {
			t.Errorf("it prints %q, want %q", got, want)
		}
	}
}
