//go:build linux

package bench

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"pgregory.net/rapid"
)

// secureServer is another implementation's end of TLS: f gets each connection.
func secureServer(t *testing.T, f func(conn net.Conn)) place {
	t.Helper()
	c, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.remove)
	own, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}})
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
			_ = conn.Close() // It has all it needs.
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return place{ln.Addr().String(), secureConfig(&tls.Config{
		RootCAs: c.trust, ServerName: "127.0.0.1"})}
}

// dialSession connects to a server that says nothing first.
func dialSession(t *testing.T, at place) *conn {
	t.Helper()
	fd, err := connect(at.address)
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{fd: fd}
	t.Cleanup(c.close)
	if c.session, err = handshake(fd, at.tls); err != nil {
		t.Fatal(err)
	}
	return c
}

// What the generator seals another implementation opens, and the other way round, whatever the
// lengths.
func TestSessionSpeaksTLS(t *testing.T) {
	at := secureServer(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	c := dialSession(t, at)
	for _, n := range []int{1, 15, 16, 17, 1000, recordMax - 1, recordMax, recordMax + 1, 100_000} {
		want := payloadOf(n)
		var got []byte
		err := c.exchange(want, func(in []byte) bool { got = in; return len(in) >= n })
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: %d came back, %v", n, len(got), err)
		}
	}
	// In place too, behind what was sealed before.
	first := append([]byte(nil), c.outbound([]byte("first "))...)
	both := c.sealed(append(first, "second"...), len(first))
	if _, errno := sysWrite(c.fd, both); errno != 0 {
		t.Fatal(errno)
	}
	var got []byte
	err := c.exchange(nil, func(in []byte) bool { got = in; return len(in) >= len("first second") })
	if err != nil || string(got) != "first second" {
		t.Errorf("%q, %v", got, err)
	}
}

// However records are cut, they count and open as the whole.
func TestSessionSplits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := make([]byte, 32)
		out, err := newDirection(secret)
		if err != nil {
			t.Fatal(err)
		}
		s := &session{out: out, in: out}
		var stream, want []byte
		for _, n := range rapid.SliceOfN(rapid.IntRange(1, 300), 1, 20).Draw(t, "records") {
			stream, want = s.seal(stream, payloadOf(n)), append(want, payloadOf(n)...)
		}
		counted, opened := int64(0), []byte(nil)
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "read")
			counted += s.count(stream[:n])
			if opened, err = s.open(opened, stream[:n]); err != nil {
				t.Fatal(err)
			}
			if int(counted) < len(opened) {
				t.Fatalf("%d bytes counted, %d opened", counted, len(opened))
			}
			stream = stream[n:]
		}
		if counted != int64(len(want)) || !bytes.Equal(opened, want) {
			t.Fatalf("%d bytes counted, %d opened, of %d", counted, len(opened), len(want))
		}
	})
}

// The end of the other side, and bytes that nobody sealed, are errors and not content.
func TestSessionEnds(t *testing.T) {
	c := dialSession(t, secureServer(t, func(conn net.Conn) {
		_ = conn.(*tls.Conn).Handshake() // The other side tells. The end is close_notify.
	}))
	if err := c.exchange(nil, func([]byte) bool { return false }); err == nil {
		t.Error("the end went by")
	}
	s := &session{}
	var err error
	if s.in, err = newDirection(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	forged := append([]byte{typeData, 3, 3, 0, 40}, make([]byte, 40)...)
	if _, err := s.open(nil, forged); err == nil {
		t.Error("a forged record was opened")
	}
}

// A server that does not show the run's certificate is not measured.
func TestSessionTrusts(t *testing.T) {
	at := secureServer(t, func(net.Conn) {})
	other, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	defer other.remove()
	at.tls.RootCAs = other.trust
	if _, err := dial(at, mbWire{}, idler, "a", 0, minPayload); err == nil {
		t.Error("connected")
	}
}
