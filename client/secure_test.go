package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// overTLS is overTransports for those with TLS.
func overTLS(t *testing.T, f func(t *testing.T, transport string)) {
	for _, transport := range []string{"tls", "wss"} {
		t.Run(transport, func(t *testing.T) { f(t, transport) })
	}
}

// Of a client that was told whom to trust: what is offered, and that a reconnect resumes.
func TestSecureSession(t *testing.T) {
	overTLS(t, func(t *testing.T, transport string) {
		cfg := certified(t, time.Time{}, "127.0.0.1")
		offered := make(chan []string, 2)
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			offered <- hello.SupportedProtos
			return nil, nil
		}
		b := newBroker(t, clienttest.Options{TLS: cfg})
		renewed := make(chan Renewal, 1)
		c := dial(t, b.URL(transport), fastReconnect(),
			OnReconnect(func(r Renewal) { renewed <- r }))
		want := map[string]string{"tls": "", "wss": "http/1.1"}[transport]
		if got := strings.Join(receive(t, "hello", offered), ","); got != want {
			t.Errorf("offered %q, want %q", got, want)
		}
		if state := b.Conns()[0].TLS(); state.Version != tls.VersionTLS13 || state.DidResume {
			t.Errorf("version %x, resumed %v", state.Version, state.DidResume)
		}
		if err := c.Ping(testContext(t)); err != nil {
			t.Fatal(err)
		}
		b.Disconnect()
		receive(t, "renewal", renewed)
		if !b.Conns()[0].TLS().DidResume {
			t.Error("the second connection did a whole handshake")
		}
	})
}

// The name in the certificate is that of the address, or the one that WithTLS sets; several
// addresses have each their own.
func TestSecureName(t *testing.T) {
	b := newBroker(t, clienttest.Options{TLS: certified(t, time.Time{}, "localhost")})
	byName := strings.Replace(b.URL("tls"), "127.0.0.1", "localhost", 1)
	dial(t, byName)
	other := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("wss")+","+other.URL("wss"))
	if c.ServiceID() != other.Conns()[0].ID {
		t.Error("connected by a name that is not in the certificate")
	}
	a, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	dial(t, b.URL("tls"), WithTLS(&tls.Config{RootCAs: a.Pool(), ServerName: "localhost"}))
}

// The configuration is the caller's: nothing in it changes, and what it says stands.
func TestSecureConfigUntouched(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	a, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{
		RootCAs: a.Pool(), MaxVersion: tls.VersionTLS12, NextProtos: []string{"mine"}}
	dial(t, b.URL("wss"), WithTLS(cfg))
	if cfg.ServerName != "" || cfg.ClientSessionCache != nil || len(cfg.NextProtos) != 1 {
		t.Errorf("the configuration has become %+v", cfg)
	}
	if got := b.Conns()[0].TLS().Version; got != tls.VersionTLS12 {
		t.Errorf("version %x", got)
	}
}

// Whoever cannot connect over TLS is told what to try.
func TestSecureRefused(t *testing.T) {
	good := newBroker(t, clienttest.Options{})
	expired := newBroker(t, clienttest.Options{
		TLS: certified(t, time.Now().Add(-time.Hour), "127.0.0.1")})
	elsewhere := newBroker(t, clienttest.Options{TLS: certified(t, time.Time{}, "other.example")})
	mutual := certified(t, time.Time{}, "127.0.0.1")
	mutual.ClientAuth = tls.RequireAndVerifyClientCert
	closed := newBroker(t, clienttest.Options{TLS: mutual})
	ssh := rawServer(t, func(conn net.Conn) { _, _ = conn.Write([]byte("SSH-2.0-OpenSSH\r\n")) })
	says := func(text string) string { // once it has heard something
		return rawServer(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = conn.Write([]byte(text))
			_ = conn.(*net.TCPConn).CloseWrite()
		})
	}
	const bad = "HTTP/1.1 400 Bad Request\r\n\r\n"
	http1, http2, alert := says(bad), says(bad), says("\x15\x03\x01\x00\x02\x02\x28")
	as := func(scheme, url string) string { return scheme + url[strings.Index(url, "://"):] }
	trust, nobody := trusting(t), WithTLS(&tls.Config{})
	for _, tc := range []struct {
		name, address string
		trust         Option
		want          []string
	}{
		{"unknown", good.URL("tls"), nobody, []string{"unknown authority", "RootCAs"}},
		{"unknown", good.URL("wss"), nobody, []string{"unknown authority", "RootCAs"}},
		{"expired", expired.URL("tls"), trust, []string{"expired", "renew it", "clock"}},
		{"expired", expired.URL("wss"), trust, []string{"expired", "renew it", "clock"}},
		{"name", elsewhere.URL("tls"), trust, []string{"127.0.0.1", "ServerName"}},
		{"name", elsewhere.URL("wss"), trust, []string{"127.0.0.1", "ServerName"}},
		{"client", closed.URL("tls"), trust, []string{"wants a certificate", "Certificates"}},
		{"client", closed.URL("wss"), trust, []string{"wants a certificate", "Certificates"}},
		{"plain tcp", as("tls", good.URL("tcp")), trust, []string{"no TLS", good.URL("tcp")}},
		{"plain tcp", as("wss", good.URL("tcp")), trust, []string{"no TLS", good.URL("tcp")}},
		{"plain ws", "tls://" + http1, trust, []string{"no TLS", "but HTTP", "ws://" + http1}},
		{"plain ws", "wss://" + http2, trust, []string{"no TLS", "but HTTP", "ws://" + http2}},
		{"tls for ws", "ws://" + alert, trust, []string{"TLS is spoken", "wss://" + alert}},
		{"tls for ws", as("ws", good.URL("wss")), trust, []string{"scheme ws?", "wss"}},
		{"tcp for ws", as("ws", good.URL("tcp")), trust, []string{"TCP", good.URL("tcp")}},
		{"tls for wss", as("wss", good.URL("tls")), trust, []string{"TCP", good.URL("tls")}},
		{"ssh", "tls://" + ssh, trust, []string{"no TLS", `"SSH-2`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Dial(testContext(t), tc.address, tc.trust)
			if err == nil {
				t.Fatalf("%s: connected", tc.address)
			}
			for _, want := range append(tc.want, "connecting to "+tc.address) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v\nwithout %q", tc.address, err, want)
				}
			}
		})
	}
}

// A port where a greeting never comes, because the peer waits for a handshake: the bound holds.
func TestSecurePortWithoutTLS(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	for _, address := range []string{
		"tcp" + strings.TrimPrefix(b.URL("tls"), "tls"),
		"tls" + strings.TrimPrefix(b.URL("wss"), "wss"),
	} {
		advised := func(err error) bool {
			return errors.Is(err, context.DeadlineExceeded) &&
				strings.Contains(err.Error(), "scheme")
		}
		err := dialTooLong(address, advised, trusting(t))
		if err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A peer that accepts and says nothing holds a dial for its time only, in the handshake too, and a
// context that is cancelled ends it at once.
func TestSecureSilentPeer(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		listening := make(chan struct{}, 2)
		address := rawServer(t, func(net.Conn) { listening <- struct{}{} })
		ctx, cancel := context.WithCancel(testContext(t))
		go func() { <-listening; cancel() }()
		_, err := Dial(ctx, transport+"://"+address, trusting(t))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		address = rawServer(t, func(net.Conn) {})
		_, err = Dial(testContext(t), transport+"://"+address, trusting(t),
			WithDialTimeout(20*time.Millisecond))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("timeout: %v", err)
		}
	})
}

// A client shows its certificate.
func TestSecureClientCertificate(t *testing.T) {
	overTLS(t, func(t *testing.T, transport string) {
		a, err := authority()
		if err != nil {
			t.Fatal(err)
		}
		mutual := certified(t, time.Time{}, "127.0.0.1")
		mutual.ClientAuth, mutual.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool()
		b := newBroker(t, clienttest.Options{TLS: mutual})
		own, err := a.Issue(time.Time{}, "billing")
		if err != nil {
			t.Fatal(err)
		}
		dial(t, b.URL(transport), WithTLS(&tls.Config{
			RootCAs: a.Pool(), Certificates: []tls.Certificate{own}}))
		peer := b.Conns()[0].TLS().PeerCertificates
		if len(peer) != 1 || peer[0].Subject.CommonName != "billing" {
			t.Errorf("the broker saw %v", peer)
		}
	})
}

// Close is bounded while the broker reads nothing and the socket is full.
func TestCloseStalledBroker(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		t.Parallel()
		b := newBroker(t, clienttest.Options{})
		c := dial(t, b.URL(transport), WithKeepAlive(0),
			func(o *options) { o.closePatience = 50 * time.Millisecond })
		b.Conns()[0].Stall(true)
		payload := make([]byte, 16<<10)
		for full := error(nil); full == nil; { // Until even the kernel has no room.
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			full = c.Publish(ctx, "a", payload)
			cancel()
		}
		closed := make(chan struct{})
		go func() { _ = c.Close(); close(closed) }()
		receive(t, "Close", closed)
	})
}

// The end of a connection is said: close_notify, whatever ended it.
func TestSecureGoodbye(t *testing.T) {
	a, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	welcome := []byte("publish:system.initialize:1.0.0\n{}")
	for name, ends := range map[string]func(c *Client, broker net.Conn){
		"closed": func(c *Client, _ net.Conn) { _ = c.Close() },
		"framing": func(_ *Client, broker net.Conn) {
			_, _ = broker.Write([]byte{0xff, 0xff, 0xff, 0xff})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended, up := make(chan error, 1), make(chan net.Conn, 1)
			cfg := certified(t, time.Time{}, "127.0.0.1")
			address := rawServer(t, func(conn net.Conn) {
				secure := tls.Server(conn, cfg)
				_, _ = secure.Write(append(codec.AppendTCPHeader(nil, len(welcome)), welcome...))
				up <- secure
				_, err := io.Copy(io.Discard, secure) // An end without close_notify is an error.
				ended <- err
				_ = secure.Close() // As a broker ends what the client has ended.
			})
			c, err := Dial(testContext(t), "tls://"+address, WithoutReconnect(),
				WithTLS(&tls.Config{RootCAs: a.Pool()}))
			if err != nil {
				t.Fatal(err)
			}
			ends(c, receive(t, "connection", up))
			if err := receive(t, "end", ended); err != nil {
				t.Errorf("the broker read %v", err)
			}
			<-c.Done()
		})
	}
}
