package broker

import (
	"bytes"
	"strings"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/system"
	"mbserver/server/trace"
	"mbserver/server/wheel"
	"mbserver/topic"
)

// Tracing: what became of messages that somebody looks at (protocol §11, system.explain).
//
// Purpose. "Why did my message not arrive?" has an answer, of messages that were sampled
// (explain.sample) or armed for, and costs nobody anything while nobody asks.
//
// Outline.
//
//	lookAt   somebody arms, or that ends: every loop is told what to look at
//	observe  a message has come in: is it looked at? Then it gets a mark, which travels with it
//	         (trip, outgoing, parkedPublish, rare) wherever it goes
//	note     something became of it, in fate.go and where that is decided: an entry in the book
//	heed     its receiver's ring has told what became of it there (ringbuf.Turn.Told)
//	explain  explain.go puts together what the loops know
//
// Invariants. A mark is not zero only for a message that a book was told of. Nothing is decided by
// it. What a book holds is bounded and charged; a minute after the last look it is given back.
//
// Cost. While nobody looks: one predictable branch for a message, one for a publish, and one for
// each flush. A loop looks at some 50 messages a second (trace.Book.Open), so that being armed for
// all of them costs little more than asking for each whether it is to be looked at.
type tracing struct {
	loop *Loop

	looks *looks      // what is looked at; nil: nothing
	book  *trace.Book // nil: nothing is recorded
	mark  trace.Mark  // of the message in hand, from observe until it is dealt with; 0: none
	cause string      // why connections are being given up; "": they leave

	charged int64       // bytes that the loop is charged for the book
	freeAt  int64       // loop ms: when the book is given back, if nobody looks
	timer   wheel.Timer // the end of a look, or of the book
}

// looks are what a loop looks at.
type looks struct {
	every int // one of so many messages; 0: none of those that nobody armed for
	left  int // until the next of these
	arms  []arm
}

// arm is what somebody has armed for: messages on topics that a pattern matches, or all that a
// service sends. Immutable.
type arm struct {
	pattern topic.Pattern // the zero one: it is for a service
	begin   string        // of what the pattern matches
	service codec.UUID
	until   int64 // loop ms
}

// armOf is an arm for a pattern that ends at a time.
func armOf(p topic.Pattern, until int64) arm {
	begin := p.String()
	if at := strings.IndexAny(begin, "+#"); at >= 0 {
		begin = strings.TrimSuffix(begin[:at], ".")
	}
	return arm{pattern: p, begin: begin, until: until}
}

// wants says whether a message of a service on a canonical topic is one of those.
func (a *arm) wants(sender codec.UUID, name []byte) bool {
	if a.pattern.String() == "" {
		return sender == a.service
	}
	n := len(a.begin)
	return len(name) >= n && string(name[:n]) == a.begin && a.pattern.Matches(name)
}

// same says that two are for the same.
func (a *arm) same(b *arm) bool {
	return a.pattern.String() == b.pattern.String() && a.service == b.service
}

func (t *tracing) init(l *Loop) {
	t.loop = l
	t.timer.Owner = t
	if every := l.broker.traceEvery; every > 0 {
		t.looks = &looks{every: every, left: every}
		t.book = trace.NewBook(l.index, l.broker.traceBytes)
	}
}

// lookAt has the loop look at what is armed for, and at what it samples anyway.
func (l *Loop) lookAt(arms []arm) {
	t := &l.trace
	every := l.broker.traceEvery
	ends := int64(0)
	t.looks = nil
	if every > 0 || len(arms) > 0 {
		t.looks = &looks{every: every, left: every, arms: arms}
	}
	for i := range arms {
		if ends == 0 || arms[i].until < ends {
			ends = arms[i].until
		}
		t.freeAt = max(t.freeAt, arms[i].until+trace.Age)
	}
	if t.looks != nil && t.book == nil {
		t.book = trace.NewBook(l.index, l.broker.traceBytes)
	}
	switch {
	case ends > 0:
		l.wheel.Add(&t.timer, ends)
	case t.looks == nil && t.book != nil:
		t.freeAt = min(t.freeAt, l.time.Ms+trace.Age)
		l.wheel.Add(&t.timer, t.freeAt)
	default:
		l.wheel.Cancel(&t.timer)
	}
}

// Expire implements wheel.Expirer: an arm has ended, or nobody has looked for long.
func (t *tracing) Expire(*wheel.Timer, int64) {
	l := t.loop
	if t.looks == nil {
		t.book = nil
		return
	}
	var left []arm
	for _, a := range t.looks.arms {
		if a.until > l.time.Ms {
			left = append(left, a)
		}
	}
	l.lookAt(left)
}

// settleTrace charges the loop for its book.
func (l *Loop) settleTrace() {
	t := &l.trace
	held := int64(0)
	if t.book != nil {
		held = int64(t.book.Held())
	}
	l.charge += held - t.charged
	t.charged = held
}

// want says whether one more message, of a service on a canonical topic, is looked at.
func (k *looks) want(sender codec.UUID, name []byte) (wanted bool) {
	if k.every > 0 {
		if k.left--; k.left == 0 {
			k.left, wanted = k.every, true
		}
	}
	for i := 0; i < len(k.arms) && !wanted; i++ {
		wanted = k.arms[i].wants(sender, name)
	}
	return wanted
}

// observe decides whether the message in hand is looked at; id is its sender's as text, name its
// canonical topic; nil: there is none, or it is not known. Only while there are looks.
func (l *Loop) observe(c *Conn, id, name []byte) {
	t := &l.trace
	t.mark = 0
	k := t.looks
	if topic.IsSystem(name) || !t.book.Open(l.time.Ms) {
		return
	}
	if !k.want(c.id, name) {
		return
	}
	m := trace.Message{At: l.time.Unix, Sender: c.id, Topic: string(name)}
	m.ID, _ = codec.ParseUUID(id)
	if s := c.standing; s != nil && s.grant != nil {
		m.Identity = s.grant.Identity
	}
	t.mark = t.book.Begin(m, l.time.Ms)
	l.note(t.mark, trace.Accepted, &c.service, "")
}

// observeForeign is observe for a request of another node on a canonical topic, which is known by
// its name there.
func (l *Loop) observeForeign(ref, requester codec.UUID, name []byte) trace.Mark {
	t := &l.trace
	if !t.book.Open(l.time.Ms) || !t.looks.want(requester, name) {
		return 0
	}
	mark := t.book.Begin(trace.Message{
		At: l.time.Unix, Sender: requester, Topic: string(name), ID: ref,
	}, l.time.Ms)
	l.note(mark, trace.Accepted, nil, "of another node")
	return mark
}

// note notes what became of a message with a mark: at a service, if that is not nil.
func (l *Loop) note(mark trace.Mark, stop trace.Stop, at *service, reason string) {
	if l.trace.book == nil {
		return
	}
	e := trace.Entry{Mark: mark, Stop: stop, At: l.time.Unix, Reason: reason}
	if at != nil {
		e.Service = at.id
	}
	l.trace.book.Note(e)
}

// noteHand notes what became of the message in hand, if that is looked at.
func (l *Loop) noteHand(stop trace.Stop, reason string) {
	if l.trace.mark != 0 {
		l.note(l.trace.mark, stop, nil, reason)
	}
}

// noteUnheard notes that a message on a canonical topic is refused before it is looked at, for who
// its sender is.
func (l *Loop) noteUnheard(c *Conn, h *codec.Header, name []byte, reason string) {
	if l.trace.looks != nil {
		l.observe(c, h.RequestID, name)
		l.noteHand(trace.Forbidden, reason)
	}
}

// noteMasked notes under which ID receivers know the message in hand, which ends its header line.
func (l *Loop) noteMasked(header []byte) {
	line := bytes.TrimSuffix(header, []byte{'\n'})
	if id, ok := codec.ParseUUID(line[max(len(line)-uuidLen, 0):]); ok && l.trace.book != nil {
		l.trace.book.Mask(l.trace.mark, l.time.Unix, id)
	}
}

// uuidLen is the length of an ID as text.
const uuidLen = 36

// patternsLooked is how many of a connection's subscriptions are looked at to find the one that
// matched: it may have thousands.
const patternsLooked = 64

// noteMatched notes that a message on a canonical topic is for c.
func (l *Loop) noteMatched(mark trace.Mark, c *Conn, kind topic.Kind, name []byte) {
	if l.trace.book == nil {
		return
	}
	e := trace.Entry{Mark: mark, Stop: trace.Matched, At: l.time.Unix, Service: c.id}
	subs := c.subs.all()
	for i := range subs[:min(len(subs), patternsLooked)] {
		if s := &subs[i]; s.kind == kind && s.pattern.Matches(name) {
			e.Pattern = s.pattern.String()
			break
		}
	}
	l.trace.book.Note(e)
}

// noteTargets notes for whom of a loop's connections a publish is: for the first of many.
func (l *Loop) noteTargets(m *outgoing, to []*Conn) {
	name := publishTopic(m.header)
	shown := min(len(to), trace.Each)
	for _, c := range to[:shown] {
		l.noteMatched(m.mark, c, topic.Publish, name)
	}
	if rest := len(to) - shown; rest > 0 && l.trace.book != nil {
		l.trace.book.Note(trace.Entry{
			Mark: m.mark, Stop: trace.Matched, At: l.time.Unix, More: uint32(rest - 1),
		})
	}
}

// publishTopic returns the canonical topic of a publish, which begins with its header line.
func publishTopic(header []byte) []byte {
	name, _ := topicOf(header)
	return name
}

// noteRefused notes that a loop's inbox has no room for a publish.
func (l *Loop) noteRefused(mark trace.Mark, g *remoteGroup) {
	if l.trace.book != nil {
		l.trace.book.Note(trace.Entry{
			Mark: mark, Stop: trace.Dropped, At: l.time.Unix, Service: g.targets[0].id,
			Reason: "busy", More: uint32(len(g.targets) - 1),
		})
	}
}

// noteLost notes that c does not get a publish.
func (l *Loop) noteLost(mark trace.Mark, c *Conn, d delivery) {
	reason := system.Overflow(d & policyMask).String()
	if c.state != stateOpen && (!c.aborted || d&policyMask != deliverDisconnect) {
		reason = "disconnected"
	}
	l.note(mark, trace.Dropped, &c.service, reason)
}

// abortFor is abort with the reason for which what waits is lost.
func (c *Conn) abortFor(reason string) {
	t := &c.loop.trace
	t.cause = reason
	c.abort()
	t.cause = ""
}

// noteFailure notes that a request is answered with an error.
func (l *Loop) noteFailure(
	mark trace.Mark, at *service, code codec.Code, details []codec.Detail,
) {
	stop, reason := trace.Dropped, ""
	for i := range details {
		if text, is := details[i].Text("reason"); is {
			reason = text
		}
	}
	switch {
	case code == codec.NoRouteFound:
		stop = trace.Unrouted
	case code == codec.Timeout && at == nil:
		stop, reason = trace.Expired, "no service had room"
	case code == codec.Timeout:
		stop, reason = trace.Expired, "no answer"
	case code == codec.Forbidden:
		stop, reason = trace.Revoked, "request"
	case reason == "evicted":
		stop, reason = trace.Evicted, ""
	}
	l.note(mark, stop, at, reason)
}

// tag has the rings that take a frame tell what becomes of it.
func (l *Loop) tag(f ringbuf.Frame, mark trace.Mark) {
	if l.trace.book == nil {
		return
	}
	if tag := l.trace.book.Tag(mark); tag != 0 {
		l.turn.Tag(f, ringbuf.Tag(tag))
	}
}

// outcomes is what becomes of a message in a ring, as it is told.
var outcomes = [...]struct {
	stop   trace.Stop
	reason string
}{
	ringbuf.Written:  {trace.Delivered, ""},
	ringbuf.Kept:     {trace.Queued, "its connection is behind"},
	ringbuf.Oldest:   {trace.Dropped, "drop-oldest"},
	ringbuf.Replaced: {trace.Conflated, ""},
	ringbuf.Expelled: {trace.Revoked, "subscribe"},
	ringbuf.Lost:     {trace.Dropped, "disconnected"},
}

// heed notes what c's ring has told, if it has: of most messages nobody wants to know.
func (l *Loop) heed(c *Conn) {
	if len(l.turn.Told) > 0 {
		l.hear(c)
	}
}

// hear is heed of a ring that has.
func (l *Loop) hear(c *Conn) {
	for _, one := range l.turn.Told {
		if one.Outcome == ringbuf.Cancelled || l.trace.book == nil {
			continue // why, is noted where it was
		}
		is := outcomes[one.Outcome]
		if one.Outcome == ringbuf.Lost && l.trace.cause != "" {
			is.reason = l.trace.cause
		}
		if mark := l.trace.book.Tagged(uint16(one.Tag)); mark != 0 {
			l.note(mark, is.stop, &c.service, is.reason)
		}
	}
	l.turn.Told = l.turn.Told[:0]
}
