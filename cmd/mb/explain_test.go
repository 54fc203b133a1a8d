package main

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mbserver/client/clienttest"
)

// serve answers every connection with what f does with it.
func serve(t *testing.T, f func(net.Conn)) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			f(conn)
			_ = conn.Close() // It was answered.
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// Whoever cannot connect is told what to try.
func TestConnectErrors(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	broker := strings.TrimPrefix(b.URL("tcp"), "tcp://")
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	secure.StartTLS()
	defer secure.Close()
	silent := serve(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) })
	shut := serve(t, func(net.Conn) {})
	ssh := serve(t, func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-OpenSSH\r\n")) })
	talksHTTP := serve(t, func(c net.Conn) {
		_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	_ = free.Close() // Nobody listens there any more.
	at := func(s string) string { return s[strings.LastIndex(s, "/")+1:] }
	for _, tc := range []struct {
		server string
		want   []string
	}{
		{"tcp://" + nobody, []string{"cannot connect to tcp://" + nobody, "refused", "mb-server"}},
		{"ws://" + nobody, []string{"refused", "is a node running there?"}},
		{"tls://" + nobody, []string{"refused", "is a node running there?"}},
		{nobody, []string{"refused", "is a node running there?"}},
		{"tcp://" + silent, []string{"no greeting came within 200ms", "ws://" + silent}},
		{"tcp://" + shut, []string{"closed without a greeting", "ws://" + shut}},
		{"tcp://" + ssh, []string{"no broker is there", "SSH-2.0"}},
		{"ws://" + ssh, []string{"no broker is there", "SSH-2.0"}},
		{"tcp://" + talksHTTP, []string{"HTTP is spoken there; try ws://" + talksHTTP}},
		{"tls://" + talksHTTP, []string{"HTTP is spoken there; try ws://" + talksHTTP}},
		{"ws://" + at(web.URL), []string{"refused: 404", "a broker's port for ws?", "3000"}},
		{"wss://" + at(web.URL), []string{"HTTP is spoken there; try ws://"}},
		{"ws://" + broker, []string{"it speaks TCP; try tcp://" + broker}},
		{"wss://" + broker, []string{"it speaks TCP; try tcp://" + broker}},
		{"tls://" + broker, []string{"it speaks TCP; try tcp://" + broker}},
		{"tls://" + at(secure.URL), []string{"certificate is not trusted", "--tls-insecure any"}},
		{"wss://" + at(secure.URL), []string{"the certificate is not trusted", "--tls-ca FILE"}},
		{"tcp://nowhere.invalid", []string{"no address is known for nowhere.invalid"}},
		{"http://" + broker, []string{"try ws://" + broker}},
		{"https://" + broker, []string{"try wss://" + broker}},
		{"nats://" + broker, []string{"try tcp://" + broker}},
		{"gopher://" + broker, []string{"must begin with"}},
	} {
		timeout := "1m"
		if strings.HasSuffix(tc.server, silent) {
			timeout = "200ms" // which is what ends it
		}
		i := start(t, "", "topics", "--timeout", timeout, "--server", tc.server)
		i.wait(exitError).wantErr(tc.want...)
		said := i.stderr.String()
		if strings.Count(said, "\n") != 1 || strings.Contains(said, "dial tcp") ||
			strings.Contains(said, "context deadline") {
			t.Errorf("%s: %q", tc.server, said)
		}
	}
	start(t, "", "topics", "--server", "tcp://"+nobody+","+b.URL("tcp")).wait(exitOK)
}

// A signal while the connection is made ends a command at once, and is no
// success.
func TestConnectInterrupted(t *testing.T) {
	accepted := make(chan struct{}, 1)
	silent := serve(t, func(c net.Conn) {
		accepted <- struct{}{}
		_, _ = c.Read(make([]byte, 1)) // until the client has gone
	})
	newBroker(t, clienttest.Options{})
	for line, code := range map[string]int{
		"topics": exitInterrupted, "pub a x": exitInterrupted, "request a x": exitInterrupted,
		"sub a -n 1": exitInterrupted, "sub a": exitOK, "log": exitOK, "reply a x": exitOK,
	} {
		i := start(t, "", append(strings.Fields(line), "--server", silent, "--timeout", "1m")...)
		<-accepted
		i.stop()
		i.wait(code)
		if code == exitInterrupted {
			i.wantErr("mb: interrupted while connecting")
		}
	}
}
