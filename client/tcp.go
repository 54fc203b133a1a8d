package client

import (
	"net"
	"time"
)

// ackPatience is the least that a peer's kernel is given to acknowledge: it may
// put that off for half a second (RFC 1122 §4.2.3.2).
const ackPatience = 500 * time.Millisecond

// tcpState is what the kernel knows of a connection, whoever reads or writes it.
type tcpState struct {
	silent time.Duration // since the last segment of the peer
	owed   bool          // the peer has not acknowledged all that was sent
}

// gone reports whether the peer's machine has acknowledged nothing for that long.
func (s tcpState) gone(patience time.Duration) bool {
	return s.owed && s.silent >= max(patience, ackPatience)
}

// kernelConn is the connection below those that wrap it, as TLS does.
func kernelConn(conn net.Conn) net.Conn {
	for {
		above, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = above.NetConn()
	}
}
