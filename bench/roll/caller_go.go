//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mbserver/client"
)

// goCaller is the Go client as a program uses it, with its defaults.
type goCaller struct {
	client *client.Client
}

// dialGo connects through the address. What comes out of its connections is counted on the way.
func dialGo(ctx context.Context, g *group, address string) (*goCaller, error) {
	o := &overheard{group: g, ws: address[0] == 'w'}
	c, err := client.Dial(ctx, address,
		client.WithDialer(o.dial), client.WithDialTimeout(patience),
		client.WithTLS(&tls.Config{InsecureSkipVerify: true}), //nolint:gosec // its own, just made
		client.WithLogger(slog.New(slog.DiscardHandler)),
		client.OnDisconnect(func(error) { o.lostAt.Store(time.Now().UnixNano()) }),
		client.OnReconnect(func(client.Renewal) {
			g.wasAway(time.Duration(time.Now().UnixNano() - o.lostAt.Load()))
		}))
	if err != nil {
		return nil, err
	}
	return &goCaller{c}, nil
}

func (c *goCaller) call(id, topic string, timeout time.Duration) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	got, err := c.client.Request(ctx, topic, []byte(id))
	var e *client.Error
	switch {
	case err == nil && string(got) == id:
		return outcome{answered, ""}
	case err == nil:
		return outcome{failed, "answered with what it did not ask"}
	case errors.As(err, &e):
		why := string(e.Code)
		if reason, ok := e.Details["reason"].(string); ok {
			why += " " + reason
		}
		return outcome{failed, why}
	case errors.Is(err, client.ErrDisconnected):
		return outcome{lost, "disconnected"}
	}
	return outcome{failed, err.Error()}
}

func (c *goCaller) node() string {
	if !c.client.Connected() {
		return ""
	}
	return c.client.NodeID()
}

func (c *goCaller) close() { _ = c.client.Close() } // It always returns nil.

// overheard listens to the connections of one Go client.
type overheard struct {
	group  *group
	ws     bool
	lostAt atomic.Int64 // Unix ns
}

func (o *overheard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		o.group.refused("connect: " + short(err))
		return nil, err
	}
	return &heard{TCPConn: c.(*net.TCPConn), group: o.group, wire: wire{ws: o.ws}}, nil
}

// heard is a connection whose incoming bytes are looked at. Those of TLS say nothing.
type heard struct {
	*net.TCPConn
	group *group

	mu     sync.Mutex
	wire   wire   // guarded by mu
	broken bool   // guarded by mu: not understood, as TLS is not
	end    string // guarded by mu: how the other side ended it, if it did
	left   bool   // guarded by mu: by the client
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.TCPConn.Read(b)
	h.mu.Lock()
	defer h.mu.Unlock()
	if n > 0 && !h.broken {
		h.wire.feed(b[:n])
		h.look()
	}
	if err != nil && h.end == "" && !h.left {
		h.end = endOf(err)
		h.group.count(h.group.ends, h.end)
	}
	return n, err
}

// look counts what has come. mu is held.
func (h *heard) look() {
	for {
		e, ok, err := h.wire.next()
		var refused refusal
		if errors.As(err, &refused) {
			h.group.refused(string(refused))
		}
		if err != nil {
			h.broken = true
		}
		if !ok || err != nil {
			return
		}
		switch m := parse(e.data); {
		case e.opcode == opClose && h.end == "" && !h.left:
			h.end = closeName(e.data)
			if h.end == endOwn {
				h.end = endLeft
			}
			h.group.count(h.group.ends, h.end)
		case e.opcode != opText || m.action != "response":
		case m.topic == "error":
			h.group.refused(reasonOf(m.payload, "error"))
		case m.topic == topicEcho || m.topic == topicLong:
			h.group.book.answer(m.id)
		}
	}
}

func (h *heard) CloseWrite() error {
	h.leave()
	return h.TCPConn.CloseWrite()
}

func (h *heard) Close() error {
	h.leave()
	return h.TCPConn.Close()
}

func (h *heard) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end == "" && !h.left {
		h.left = true
		h.group.count(h.group.ends, endLeft)
	}
}

// Names of ends.
const (
	endStream  = "end of stream"
	endGoing   = "1001"
	endOwn     = "1000" // what the client says when it leaves, and is answered with
	endReset   = "reset"
	endLeft    = "left by the client"
	endTimeout = "timeout"
)

// endOf names how a connection ended, by the error of reading it.
func endOf(err error) string {
	var ne net.Error
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return endStream
	case errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE):
		return endReset
	case errors.Is(err, net.ErrClosed):
		return endLeft
	case errors.As(err, &ne) && ne.Timeout():
		return endTimeout
	}
	return err.Error()
}
