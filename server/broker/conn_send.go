package broker

import (
	"mbserver/codec"
	"mbserver/ringbuf"
)

// encode writes m once in t's wire form into the turn's frames in, or only what goes before its
// shared bytes. Without flags it is protected.
func (l *Loop) encode(t Transport, in int, m *outgoing, flags ringbuf.Flags) ringbuf.Frame {
	g := &l.turn.Frames[in]
	start := len(g.B)
	g.B = appendFraming(g.B, t, m.text, len(m.header)+len(m.payload))
	if m.body == nil {
		g.B = append(append(g.B, m.header...), m.payload...)
	}
	return g.Commit(start, flags, m.key)
}

func appendFraming(dst []byte, t Transport, text bool, n int) []byte {
	if t != TransportWS {
		return codec.AppendTCPHeader(dst, n)
	}
	if text {
		return codec.AppendWSHeader(dst, codec.Text, n)
	}
	return codec.AppendWSHeader(dst, codec.Binary, n)
}

// send delivers a protected message (a response, an error, a notice) to c.
func (l *Loop) send(c *Conn, header, payload []byte, text bool) {
	if c.state == stateOpen {
		l.sendProtected(c, header, payload, text, nil, 0)
	}
}

// sendProtected queues a message that is never dropped. original is the requester's ID that the
// header's masked one stands for, for the audit. key lets the message be cancelled while it waits;
// 0: not.
func (l *Loop) sendProtected(
	c *Conn, header, payload []byte, text bool, original []byte, key uint64,
) {
	var m outgoing
	m.header, m.payload, m.text, m.key = header, payload, text, key
	if m.audit = l.broker.audited(); m.audit {
		m.original = string(original)
	}
	if !c.push(l.encode(c.transport, c.transport.directFrames(), &m, 0)) {
		l.dropped(1)
		return
	}
	l.sent(c, &m)
}

// push appends a protected frame. Those are never dropped: a connection that cannot even take them
// is closed (protocol §9), and taken is false. The check is made before the frame, so a single
// large answer always has its chance.
func (c *Conn) push(f ringbuf.Frame) (taken bool) {
	if !c.mayPush() {
		return false
	}
	c.out.Append(c.loop.turn, f)
	c.queueFlush()
	return true
}

// mayPush says whether one more protected frame may be appended; a connection for which it may not
// be is closed.
func (c *Conn) mayPush() bool {
	l := c.loop
	limits := l.broker.limits
	if c.out.RoomTaken() < limits.Bytes && c.out.Messages() < limits.Messages {
		return true
	}
	if !c.out.Stalled() {
		c.flush(false)
	}
	if c.out.RoomTaken() < limits.Bytes && c.out.Messages() < limits.Messages {
		return true
	}
	if c.state == stateOpen {
		l.warn(c, "closed: it does not read its answers")
		c.abort()
	}
	return false
}

// sendAnswer delivers an answer that begins with head, its header line at least, and ends with a
// snapshot. A large one stands in the ring as a reference, takes no room there, and is written in
// pieces.
func (l *Loop) sendAnswer(c *Conn, head []byte, body *ringbuf.Shared) {
	if c.state != stateOpen {
		return
	}
	if !c.mayPush() {
		l.dropped(1)
		return
	}
	in, large := c.transport.directFrames(), len(body.B) >= sharedBodyMin
	g := &l.turn.Frames[in]
	start := len(g.B)
	g.B = append(appendFraming(g.B, c.transport, true, len(head)+len(body.B)), head...)
	if !large {
		g.B = append(g.B, body.B...)
	}
	f := g.Commit(start, 0, 0)
	if large {
		c.out.AppendShared(l.turn, f, body, false)
	} else {
		c.out.Append(l.turn, f)
	}
	c.queueFlush()
	l.sentMany(1)
	if l.broker.audited() {
		l.auditAnswer(c, head, body.B)
	}
}

// sendTo is send for a service of any loop. payload is text when it is known to be.
func (l *Loop) sendTo(s *service, header, payload []byte, text, failure bool) {
	text = s.textFrame(text, payload)
	if s.loop == l {
		if c := l.connOf(s); c != nil {
			if failure {
				c.errors.Add(l.time.sec())
			}
			l.send(c, header, payload, text)
		}
		return
	}
	if simfaultBuild && strikes(simLostAnswer) {
		return
	}
	p := l.parcelFor(s.loop)
	it := p.add(itemDirect)
	it.to, it.text, it.failure = s, text, failure
	p.copy(it, header, payload)
	l.added(s.loop, p)
}

// sendNotice delivers what the broker starts by itself; message is the header line and the payload.
func (l *Loop) sendNotice(c *Conn, message string) {
	l.notice = append(l.notice[:0], message...)
	l.send(c, l.notice, nil, true)
}

// sendRaw writes bytes that are no message and have no frame, in order with the messages.
func (l *Loop) sendRaw(c *Conn, b []byte) {
	g := &l.turn.Frames[c.transport.directFrames()]
	start := len(g.B)
	g.B = append(g.B, b...)
	c.push(g.Commit(start, ringbuf.Control, 0))
}

// sendControl delivers a WebSocket control frame.
func (l *Loop) sendControl(c *Conn, kind codec.Kind, payload []byte) {
	if c.state != stateOpen {
		return
	}
	g := &l.turn.Frames[c.transport.directFrames()]
	start := len(g.B)
	g.B = codec.AppendWSHeader(g.B, kind, len(payload))
	g.B = append(g.B, payload...)
	c.push(g.Commit(start, ringbuf.Control, 0))
}
