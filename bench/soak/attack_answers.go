//go:build linux

package main

import (
	"os"
	"strings"
	"time"
)

// Attacks by what the node has to answer.

func malformed(a *army) {
	a.flood(4, 0, func(int) (string, string) { return "", "" })
}

func heartbeatMisuse(a *army) {
	a.flood(4, 0, func(i int) (string, string) {
		return [...]string{
			"publish:system.heartbeat:1.0.0", "request:system.heartbeat:9.0.0",
			"request:system.heartbeat", "response:system.heartbeat:x",
		}[i%4], "{"
	})
}

// errorFlood reads, and must not be cut: it is told so many errors because it makes so many.
func errorFlood(a *army) {
	a.talkers(4, func(i int, c *client) error {
		piece := c.many(batch, func(int) (string, string) {
			return "publish:k30.nobody:1.0.0", strings.Repeat("x", 20)
		})
		err := c.pump(piece, a.goOn)
		if err != nil {
			a.wrong("errors")
		}
		return err
	})
}

// deaf clients never read. They go on writing until they are cut.
func deaf(a *army) {
	kinds := []func(int) (string, string){
		func(int) (string, string) { return "publish:k31.nobody:1.0.0", "x" },
		func(int) (string, string) { return "request:system.heartbeat:1.0.0", "{}" },
		func(int) (string, string) { return "request:system.metrics:1.0.0", `{"showAll":true}` },
		func(int) (string, string) { return "", "" },
	}
	a.crew(a.few(32), func(i int) error {
		c, err := a.join(i, true)
		if err != nil {
			return err
		}
		defer c.Close()
		return a.shout(c, c.many(64, kinds[i/2%len(kinds)]))
	})
}

// shout writes a piece over and over without reading, and waits as long as it must.
func (a *army) shout(c *client, piece []byte) error {
	for a.goOn() {
		rest := piece
		for len(rest) > 0 && a.goOn() {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := c.Write(rest)
			if err != nil && !os.IsTimeout(err) {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}

func pings(a *army) {
	a.crew(a.few(16), func(i int) error { // Pongs that nobody reads.
		c, err := a.joinAs(manner{ws: true, narrow: true})
		if err != nil {
			return err
		}
		defer c.Close()
		var piece []byte
		for range 64 {
			piece = append(appendWSHead(piece, 0x89, 100), make([]byte, 100)...)
		}
		return a.shout(c, piece)
	})
	a.crew(4, func(i int) error { // A message of one-byte fragments.
		c, err := a.joinAs(manner{ws: true})
		if err != nil {
			return err
		}
		defer c.Close()
		go func() { _ = c.discard() }()
		text := "publish:k32:1.0.0\nabcdefgh"
		var piece []byte
		for n := range text {
			first := byte(0)
			if n == 0 {
				first = 0x01
			}
			if n == len(text)-1 {
				first |= 0x80
			}
			piece = append(appendWSHead(piece, first, 1), text[n])
		}
		for range 6 {
			piece = append(piece, piece...)
		}
		return c.pump(piece, a.goOn)
	})
	a.crew(4, func(i int) error { // One byte a write.
		c, err := a.joinAs(manner{})
		if err != nil {
			return err
		}
		defer c.Close()
		go func() { _ = c.discard() }()
		piece := appendFrame(nil, false, "publish:k32:1.0.0", "x")
		for n := 0; a.goOn(); n = (n + 1) % len(piece) {
			if _, err := c.Write(piece[n : n+1]); err != nil {
				return err
			}
		}
		return nil
	})
}
