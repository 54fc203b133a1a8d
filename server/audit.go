package server

import (
	"sync/atomic"

	"mbserver/codec"
)

// audit is the stream of system.message.
type audit struct {
	subscribers atomic.Int32
}

func (n *Node) audited() bool { return n.audit.subscribers.Load() > 0 }

func (l *loop) auditTaken(c *conn, h *codec.Header, payload []byte) {}

func (l *loop) auditSent(c *conn, header, payload []byte, original string) {}
