package door

import (
	"net"
	"time"

	"mbserver/codec"
)

// upgrade reads the WebSocket handshake and, unless the connection is to be refused, answers it.
// rest is what followed it. When ok is false c has been answered and closed.
func (d *Door) upgrade(c net.Conn, over bool) (rest []byte, ok bool) {
	buf := make([]byte, 0, 1<<10)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, make([]byte, cap(buf))...)[:len(buf)]
		}
		m, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+m]
		hs, size, bad := codec.ParseHandshake(buf)
		switch {
		case bad != nil:
			now := time.Now().UnixMilli()
			payload := codec.AppendError(nil, codec.MalformedMessage, bad.Reason, now)
			d.debug(c, bad.Reason)
			d.sayLast(c, codec.AppendHTTPError(nil, bad.Status, payload))
			return nil, false
		case size > 0 && over:
			return nil, true
		case size > 0:
			if _, err := c.Write(hs.Response); err != nil {
				_ = c.Close()
				return nil, false
			}
			return buf[size:], true
		case err != nil:
			d.debug(c, err.Error())
			_ = c.Close()
			return nil, false
		}
	}
}

// sayLast writes the last words to a connection and closes it once the peer has had the chance to
// read them.
func (d *Door) sayLast(c net.Conn, words []byte) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(refusedTime))
	if _, err := c.Write(words); err != nil {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	buf := make([]byte, 4<<10)
	for left := refusedBytes; left > 0; {
		m, err := c.Read(buf)
		if err != nil {
			return
		}
		left -= m
	}
}
