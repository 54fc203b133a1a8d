package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

func TestDial(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b := newBroker(t, clienttest.Options{})
		c := dial(t, b.URL(transport))
		if got, want := c.ServiceID(), b.Conns()[0].ID; got != want {
			t.Errorf("ServiceID() = %q, want %q", got, want)
		}
		if got := c.Limits(); got.PayloadBytes != 16384 || got.TimeoutMs != 3600000 {
			t.Errorf("Limits() = %+v", got)
		}
		if c.NodeID() != b.NodeID || c.ServerVersion() != "0.0.0" || !c.Connected() {
			t.Errorf("NodeID() %q, ServerVersion() %q, Connected() %v",
				c.NodeID(), c.ServerVersion(), c.Connected())
		}
		if err := c.Ping(testContext(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestDialEmptyWelcome(t *testing.T) {
	b := newBroker(t, clienttest.Options{Welcome: []byte(`{}`)})
	c := dial(t, b.URL("tcp"))
	if c.ServiceID() != "" || c.Limits() != (Limits{}) {
		t.Errorf("ServiceID() %q, Limits() %+v", c.ServiceID(), c.Limits())
	}
}

func TestDialRefused(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b := newBroker(t, clienttest.Options{Refuse: codec.ServiceUnavailable})
		_, err := Dial(testContext(t), b.URL(transport), trusting(t))
		var e *Error
		if !errors.Is(err, ErrServiceUnavailable) || !errors.As(err, &e) || e.Message != "refused" {
			t.Errorf("Dial: %v", err)
		}
	})
}

func TestDialSilentBroker(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b := newBroker(t, clienttest.Options{Silent: true})
		_, err := Dial(testContext(t), b.URL(transport), trusting(t),
			WithDialTimeout(50*time.Millisecond))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial: %v", err)
		}
	})
}

// dialTooLong dials where something does not come, and returns nil when the error is as it should
// be. A busy machine may need more than a short time for what does come before: it has more then.
func dialTooLong(address string, asIt func(error) bool, options ...Option) (err error) {
	for within := 20 * time.Millisecond; within < 10*time.Second; within *= 4 {
		_, err = Dial(context.Background(), address, append(options[:len(options):len(options)],
			WithDialTimeout(within))...)
		if asIt(err) {
			return nil
		}
	}
	return fmt.Errorf("with much time: %w", err)
}

func TestDialNobodyThere(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	b.StopListening()
	for _, transport := range transports {
		if _, err := Dial(testContext(t), b.URL(transport)); err == nil {
			t.Errorf("Dial(%s) connected", transport)
		}
	}
}

func TestDialBadAddress(t *testing.T) {
	for _, address := range []string{
		"", "localhost:3001", "http://localhost", "tcp://", "tcp://[::1", "ftp://a:1",
	} {
		if _, err := Dial(testContext(t), address); err == nil {
			t.Errorf("Dial(%q) connected", address)
		}
	}
	_, err := Dial(testContext(t), "tcp://127.0.0.1:1", WithMessageVersion("v1"))
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("bad version: %v", err)
	}
	u, err := parseAddress("wss://example.org")
	if err != nil || u.Host != "example.org:8000" {
		t.Errorf("default port: %v, %v", u, err)
	}
}

// rawServer accepts one connection and runs f on it.
func rawServer(t *testing.T, f func(conn net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		f(conn)
		_, _ = io.Copy(io.Discard, conn) // Until the client leaves.
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// The welcome and the first messages in one segment with the 101 response are
// read, whatever the HTTP reader had buffered.
func TestDialBytesBehindHandshake(t *testing.T) {
	address := rawServer(t, func(conn net.Conn) {
		var head []byte
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			head = append(head, buf[:n]...)
			hs, used, herr := codec.ParseHandshake(head)
			if herr != nil {
				return
			}
			if used == 0 {
				continue
			}
			out := bytes.Clone(hs.Response)
			for _, msg := range []string{
				"publish:system.initialize:1.0.0\n{\"serviceId\":\"x\"}",
				"publish:system.flow:1.0.0\n{\"state\":\"paused\",\"topic\":\"a\"}",
			} {
				out = append(codec.AppendWSHeader(out, codec.Text, len(msg)), msg...)
			}
			_, _ = conn.Write(out) // The client notices.
			_, _ = conn.Read(buf)  // its goodbye, which it waits to see answered
			_ = conn.Close()
			return
		}
	})
	flows := make(chan Flow, 1)
	c := dial(t, "ws://"+address, OnFlow(func(f Flow) { flows <- f }), WithoutReconnect())
	if c.ServiceID() != "x" {
		t.Errorf("ServiceID() = %q", c.ServiceID())
	}
	if f := receive(t, "flow", flows); f.State != "paused" {
		t.Errorf("flow %+v", f)
	}
}

func TestDialNotABroker(t *testing.T) {
	address := rawServer(t, func(conn net.Conn) {
		msg := "publish:hello:1.0.0\n"
		frame := append(codec.AppendTCPHeader(nil, len(msg)), msg...)
		_, _ = conn.Write(frame) // The client notices.
	})
	_, err := Dial(testContext(t), "tcp://"+address)
	if err == nil || !strings.Contains(err.Error(), "not a broker") {
		t.Errorf("Dial: %v", err)
	}
}

func TestToken(t *testing.T) {
	tokens := make(chan string, 1)
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		if string(h.Topic) != "system.auth" {
			return false
		}
		tokens <- string(payload)
		c.Send("response:system.auth:1.0.0:"+string(h.RequestID), []byte(`{"status":"success"}`))
		return true
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	dial(t, b.URL("tcp"), WithToken("secret"))
	if got := receive(t, "system.auth", tokens); got != `{"token":"secret"}` {
		t.Errorf("payload %s", got)
	}
}

func TestTokenWrong(t *testing.T) {
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool { // knows none
		c.Send("response:system.auth:1.0.0:"+string(h.RequestID),
			[]byte(`{"error":{"code":"TOPIC_NOT_SUPPORTED"}}`))
		return true
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	_, err := Dial(testContext(t), b.URL("tcp"), WithToken("secret"))
	if !errors.Is(err, ErrTopicNotSupported) {
		t.Errorf("Dial: %v", err)
	}
}
