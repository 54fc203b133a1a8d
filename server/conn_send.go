package server

import (
	"unicode/utf8"

	"mbserver/codec"
	"mbserver/ringbuf"
)

// encode writes one protected message for a single connection into the turn's log for such, in the wire form of its
// transport. key is ringbuf.Log.Commit's.
func (l *loop) encode(t transport, text bool, header, payload []byte, key uint64) ringbuf.Frame {
	g := &l.turn.Frames[t.directLog()]
	start := len(g.B)
	g.B = appendFraming(g.B, t, text, len(header)+len(payload))
	g.B = append(g.B, header...)
	g.B = append(g.B, payload...)
	return g.Commit(start, 0, key)
}

func appendFraming(dst []byte, t transport, text bool, n int) []byte {
	if t != transportWS {
		return codec.AppendTCPHeader(dst, n)
	}
	if text {
		return codec.AppendWSHeader(dst, codec.Text, n)
	}
	return codec.AppendWSHeader(dst, codec.Binary, n)
}

// send delivers a protected message (a response, an error, a notice) to c.
func (l *loop) send(c *conn, header, payload []byte, text bool) {
	if c.state == stateOpen {
		l.sendProtected(c, header, payload, text, nil, 0)
	}
}

// sendProtected delivers a request that has its room already, and whose own ID, original, was replaced by a masked one. key
// lets it be cancelled while it waits in the ring.
func (l *loop) sendProtected(c *conn, header, payload []byte, text bool, original []byte, key uint64) {
	c.push(l.encode(c.transport, text, header, payload, key))
	l.tally[countSent]++
	if l.node.audited() {
		l.auditSent(c, header, payload, string(original))
	}
}

// push appends a protected frame. Those are never dropped: a connection that cannot even take them is closed
// (protocol §9). The check is made before the frame, so a single large answer always has its chance.
func (c *conn) push(f ringbuf.Frame) {
	l := c.loop
	if limits := l.node.limits; c.out.Bytes() >= limits.Bytes || c.out.Messages() >= limits.Messages {
		if !c.out.Stalled() {
			c.flush(false)
		}
		if c.out.Bytes() >= limits.Bytes || c.out.Messages() >= limits.Messages {
			if c.state == stateOpen {
				l.warn(c, "closed: it does not read its answers")
				c.abort()
			}
			return
		}
	}
	c.out.Append(l.turn, f)
	c.queueFlush()
}

// sendTo is send for a service of any loop. payload is text when it is known to be.
func (l *loop) sendTo(s *service, header, payload []byte, text, failure bool) {
	if s.transport == transportWS && !text {
		text = utf8.Valid(payload)
	}
	if s.loop == l {
		if c := l.connOf(s); c != nil {
			if failure {
				c.errors.add(l.time.sec())
			}
			l.send(c, header, payload, text)
		}
		return
	}
	body := ringbuf.NewShared()
	body.B = append(append(body.B, header...), payload...)
	s.loop.post(envelope{kind: envelopeDirect, to: s, body: body, text: text, failure: failure})
}

// sendNotice delivers what the broker starts by itself; message is the header line and the payload.
func (l *loop) sendNotice(c *conn, message string) {
	l.notice = append(l.notice[:0], message...)
	l.send(c, l.notice, nil, true)
}

// sendControl delivers a WebSocket control frame.
func (l *loop) sendControl(c *conn, kind codec.Kind, payload []byte) {
	if c.state != stateOpen {
		return
	}
	g := &l.turn.Frames[c.transport.directLog()]
	start := len(g.B)
	g.B = codec.AppendWSHeader(g.B, kind, len(payload))
	g.B = append(g.B, payload...)
	c.push(g.Commit(start, 0, 0))
}
