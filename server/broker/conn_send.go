package broker

import (
	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/trace"
)

// encode writes m once in a wire form into the turn's frames in, or only what goes before its
// shared bytes, which body is then. Without flags it is protected.
func (l *Loop) encode(
	form wireForm, in int, m *outgoing, flags ringbuf.Flags,
) (f ringbuf.Frame, body *ringbuf.Shared) {
	if form == formDeflate {
		if p := l.deflated(m); p != nil {
			return l.encodeDeflate(in, m, p, flags), nil
		}
	}
	g := &l.turn.Frames[in]
	start := len(g.B)
	g.B = appendFraming(g.B, form, m.text, len(m.header)+len(m.payload))
	if m.body == nil {
		g.B = append(append(g.B, m.header...), m.payload...)
	}
	f = g.Commit(start, flags, m.key)
	if m.mark != 0 {
		l.tag(f, m.mark)
	}
	return f, m.body
}

// appendFraming appends what goes before a message that is not compressed.
func appendFraming(dst []byte, form wireForm, text bool, n int) []byte {
	if form == formTCP {
		return codec.AppendTCPHeader(dst, n)
	}
	if text {
		return codec.AppendWSHeader(dst, codec.Text, n)
	}
	return codec.AppendWSHeader(dst, codec.Binary, n)
}

// send delivers a protected message that c has caused: an answer or an error (conn_owing.go).
func (l *Loop) send(c *Conn, header, payload []byte, text bool) {
	if c.takesAnswers() {
		l.sendAnyhow(c, header, payload, text, ringbuf.Own)
	}
}

// tell delivers a protected message that c has not caused.
func (l *Loop) tell(c *Conn, message []byte) {
	if c.state == stateOpen {
		l.sendAnyhow(c, message, nil, true, 0)
	}
}

// sendAnyhow delivers to a connection that may have ended its stream (conn_ended.go).
func (l *Loop) sendAnyhow(c *Conn, header, payload []byte, text bool, flags ringbuf.Flags) {
	var m outgoing
	m.header, m.payload, m.text = header, payload, text
	m.audit = l.broker.audited()
	m.shown = m.audit
	f, _ := l.encode(c.form, c.form.directFrames(), &m, flags)
	c.push(f)
	l.sent(c, &m)
}

// sendProtected delivers a request to c. original is the requester's ID that the header's masked
// one stands for, for the audit. key lets the request be cancelled while it waits.
func (l *Loop) sendProtected(
	c *Conn, header, payload []byte, text bool, original []byte, key uint64, mark trace.Mark,
) {
	var m outgoing
	m.header, m.payload, m.text, m.key, m.mark = header, payload, text, key, mark
	if m.audit = l.broker.audited(); m.audit {
		m.original = string(original)
	}
	m.shown = m.audit || mark != 0
	f, _ := l.encode(c.form, c.form.directFrames(), &m, 0)
	c.push(f)
	c.queuePrompt()
	l.sent(c, &m)
}

// push appends a protected frame. Those are never dropped (protocol §9).
func (c *Conn) push(f ringbuf.Frame) {
	c.writeEarly()
	c.out.Append(c.loop.turn, f)
	c.pushed()
}

// writeEarly writes a ring that only this turn has filled. What c owes to itself is bounded by not
// reading it (conn_owing.go), for which it has to be known what its socket does not take.
func (c *Conn) writeEarly() {
	high := c.loop.broker.owedHigh
	if !c.out.Stalled() && (c.out.RoomTaken() >= high.Bytes || c.out.Messages() >= high.Messages) {
		c.flush(false)
	}
}

// pushed sees to it that what was appended is written.
func (c *Conn) pushed() {
	if !c.out.Stalled() {
		c.queueAnswer()
		return
	}
	c.queuePrompt() // which writes nothing, and charges it
	c.settleOwed()
}

// sendAnswer delivers an answer that begins with head, its header line at least, and ends with a
// snapshot. A large one stands in the ring as a reference, takes no room there, and is written in
// pieces; it is never compressed, which would have to be done again for each who asks.
func (l *Loop) sendAnswer(c *Conn, head []byte, body *ringbuf.Shared) {
	l.sendShared(c, head, body, true)
}

// sendShared is sendAnswer for what need not be text.
func (l *Loop) sendShared(c *Conn, head []byte, body *ringbuf.Shared, text bool) {
	if !c.takesAnswers() {
		return
	}
	c.writeEarly()
	in := c.form.directFrames()
	if len(body.B) < sharedBodyMin {
		m := outgoing{header: head, payload: body.B, text: text}
		f, _ := l.encode(c.form, in, &m, ringbuf.Own)
		c.out.Append(l.turn, f)
	} else {
		g := &l.turn.Frames[in]
		start := len(g.B)
		g.B = append(appendFraming(g.B, c.form, text, len(head)+len(body.B)), head...)
		c.out.AppendShared(l.turn, g.Commit(start, ringbuf.Own, 0), body, false)
	}
	c.pushed()
	l.sentMany(1)
	if l.broker.audited() {
		l.auditAnswer(c, head, body.B)
	}
	c.settle()
}

// sendTo answers a service of any loop. payload is text when it is known to be.
func (l *Loop) sendTo(s *service, header, payload []byte, text bool, kind answerKind) {
	text = s.textFrame(text, payload)
	if s.loop == l {
		if c := l.askerOf(s); c != nil {
			l.giveAnswer(c, header, payload, text, kind)
		}
		return
	}
	if simfaultBuild && strikes(simLostAnswer) {
		return
	}
	p := l.parcelFor(s.loop)
	it := p.add(itemDirect)
	it.to, it.text, it.answer = s, text, kind
	p.copy(it, header, payload)
	l.added(s.loop, p)
}

// sendNotice delivers what the broker starts by itself; message is the header line and the payload.
func (l *Loop) sendNotice(c *Conn, message string) {
	l.notice = append(l.notice[:0], message...)
	l.tell(c, l.notice)
}

// sendRaw writes bytes that are no message and have no frame, in order with the messages.
func (l *Loop) sendRaw(c *Conn, b []byte) {
	g := &l.turn.Frames[c.form.directFrames()]
	start := len(g.B)
	g.B = append(g.B, b...)
	c.uncount(1, len(b))
	c.push(g.Commit(start, ringbuf.Control, 0))
}

// sendControl delivers a WebSocket control frame.
func (l *Loop) sendControl(c *Conn, kind codec.Kind, payload []byte) {
	if c.state != stateOpen {
		return
	}
	g := &l.turn.Frames[c.form.directFrames()]
	start := len(g.B)
	g.B = codec.AppendWSHeader(g.B, kind, len(payload))
	g.B = append(g.B, payload...)
	c.uncount(1, 0)
	c.push(g.Commit(start, ringbuf.Own|ringbuf.Control, 0))
}
