//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"time"
)

// Attacks by those who arrive, and by messages that do not.

func halfHandshakes(a *army) {
	a.crew(a.few(5000), func(i int) error {
		m := manner{ws: true}
		if i%2 == 0 { // The others come from where the polite ones come from.
			m.from = fmt.Sprintf("127.0.%d.%d", 1+i/200%50, 2+i%200)
		}
		a.dials.Add(1)
		nc, err := connect(a.to, m)
		if err != nil {
			return err
		}
		defer nc.Close()
		for n := 0; n < len(upgrade)-2 && a.goOn(); n++ {
			_ = nc.SetReadDeadline(time.Now().Add(time.Second)) // A byte a second.
			var b [1]byte
			if _, err := io.WriteString(nc, upgrade[n:n+1]); err != nil {
				return err
			}
			if _, err := nc.Read(b[:]); err == nil {
				return errClosed // It was answered.
			} else if e, ok := err.(net.Error); !ok || !e.Timeout() {
				return err
			}
		}
		return nil
	})
}

func fragments(a *army) {
	a.crew(a.few(4000), func(i int) error {
		c, err := a.join(i, false)
		if err != nil {
			return err
		}
		text := append([]byte("publish:k40:1.0.0\n"), make([]byte, 15_900)...)
		for n := range text[18:] {
			text[18+n] = 'x'
		}
		var part []byte
		if c.ws { // The first fragment of a message that never ends.
			part = append(appendWSHead(nil, 0x01, len(text)), text...)
		} else { // All but the last byte.
			part = append([]byte{0, 0, byte((len(text) + 1) >> 8), byte(len(text) + 1)}, text...)
		}
		if _, err := c.Write(part); err != nil {
			c.Close()
			return err
		}
		// It has to be silent, and stays until it is cut.
		defer c.Close()
		return c.discard()
	})
}

// reset ends a connection without a farewell.
func (a *army) reset(c io.Closer) {
	var nc net.Conn
	switch c := c.(type) {
	case *client:
		nc = c.Conn
	case net.Conn:
		nc = c
	}
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // It is closed all the same.
	}
	c.Close()
}

func storm(a *army) {
	a.crew(8, func(i int) error {
		for n := 0; a.goOn(); n++ {
			a.dials.Add(1)
			nc, err := connect(a.to, manner{ws: (i+n)%2 == 1})
			if err != nil {
				return err
			}
			if n%4 == 0 {
				_, _ = io.WriteString(nc, upgrade) // Right over one transport only.
			}
			a.reset(nc)
		}
		return nil
	})
}
