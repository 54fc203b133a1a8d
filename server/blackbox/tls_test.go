package blackbox

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// wss and tls speak the same, from TLS 1.2 on.
func TestS4_TLS(t *testing.T) {
	t.Parallel()
	key, certificate, roots := selfSigned(t)
	n := launchNode(t, launch{settings: []string{"ssl.key=" + key, "ssl.cert=" + certificate}, secure: true})
	trust := &tls.Config{RootCAs: roots, ServerName: "localhost"}

	conn, err := tls.Dial("tcp", n.tls, trust)
	if err != nil {
		t.Fatal(err)
	}
	overTLS := adopt(t, newTCPPeer(conn), "tls")
	p, _, err := dialWS("wss://"+n.wss+"/", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: trust}},
	})
	if err != nil {
		t.Fatal(err)
	}
	overWSS := adopt(t, p, "wss")
	plain := n.dial(t, overTCP)
	all := []*client{overTLS, overWSS, plain}
	for _, c := range all {
		c.subscribe("publish", "secret")
	}
	large := strings.Repeat("s", 16_000)
	for _, c := range all {
		for _, payload := range []string{"s", large} {
			c.send("publish:secret:1.0.0", payload)
			for _, receiver := range all {
				receiver.expectPayload("publish:secret:1.0.0:*", payload)
			}
		}
	}

	for _, address := range []string{n.tls, n.wss} {
		old := trust.Clone()
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		if conn, err := tls.Dial("tcp", address, old); err == nil {
			_ = conn.Close()
			t.Errorf("%s accepts TLS 1.1", address)
		}
	}
	r := dialRaw(t, n.tls) // plaintext on the TLS port costs only itself
	r.write([]byte("\x00\x00\x00\x05hello"))
	_, _ = io.Copy(io.Discard, r.in)
	r.ended()
	overTLS.none()
}
