package broker

import (
	"fmt"
	"slices"
	"sync/atomic"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/system"
	"mbserver/topic"
)

// audit is the stream of system.message: what the node takes and what it sends. Its subscribers are
// counted, because an audit that nobody reads must cost nothing.
type audit struct {
	subscribers atomic.Int32
	latest      atomic.Int64 // Unix ms of the last message of it
}

// stamp is the time of an audit message that is made now, in Unix ms: never before that of an
// earlier one. Loops read their clocks once in a turn, and the wall's may be set back; what follows
// from a message must not seem to come before it.
func (a *audit) stamp(now int64) int64 {
	for {
		latest := a.latest.Load()
		if now <= latest {
			return latest
		}
		if a.latest.CompareAndSwap(latest, now) {
			return now
		}
	}
}

// auditRoom is how many bytes an audit message mostly is beside the payload.
const auditRoom = 512

var messageTopicName = []byte(system.MessageTopic)

// audited says whether somebody reads the audit. It is the whole cost of the audit while nobody
// does. Any goroutine.
func (b *Broker) audited() bool { return b.audit.subscribers.Load() > 0 }

func (l *Loop) auditStamp() int64 { return l.broker.audit.stamp(l.time.Unix) }

// auditTaken reports a message that c sent and that is well formed. Its timeout is its own or the
// node's default. Who audits is in the middle of something
// that still uses the loop's scratch space: every audit message has a buffer of its own.
func (l *Loop) auditTaken(c *Conn, h *codec.Header, payload []byte) {
	timeout := h.TimeoutMs
	if timeout == 0 {
		timeout = uint64(l.broker.timeoutDefaultMs)
	}
	body := ringbuf.NewShared(auditRoom + len(payload))
	body.B = system.AppendTaken(body.B, l.auditStamp(), timeout, c.id, h, payload)
	l.auditPublish(body, h.Topic)
}

// auditSent reports a message that c was sent.
func (l *Loop) auditSent(c *Conn, m *outgoing) {
	h, payload, err := codec.ParseHeader(m.header, l.broker.timeoutMaxMs)
	if err != nil {
		return // the node wrote it: it parses
	}
	if m.payload != nil {
		payload = m.payload
	}
	body := ringbuf.NewShared(auditRoom + len(payload))
	body.B = system.AppendSent(body.B, l.auditStamp(), c.id, &h, payload, m.original)
	l.auditPublish(body, h.Topic)
}

// auditAnswerMax is the size of an answer of the node, in bytes, up to which the audit shows it
// whole: to compact and copy megabytes would keep the loop.
const auditAnswerMax = 16 << 10

// auditAnswer reports an answer of the node, in two parts, that c was sent.
func (l *Loop) auditAnswer(c *Conn, head, rest []byte) {
	h, payload, err := codec.ParseHeader(head, l.broker.timeoutMaxMs)
	if err != nil {
		return // the node wrote it: it parses
	}
	if n := len(payload) + len(rest); n > auditAnswerMax {
		payload = fmt.Appendf(nil, "(%d bytes, not shown)", n)
	} else {
		payload = slices.Concat(payload, rest)
	}
	body := ringbuf.NewShared(auditRoom + len(payload))
	body.B = system.AppendSent(body.B, l.auditStamp(), c.id, &h, payload, "")
	l.auditPublish(body, h.Topic)
}

// auditPublish delivers an audit message and gives body back. It is droppable like any publish, and
// not audited. Where there are permissions it goes to those who may know of the topic that it is
// about.
func (l *Loop) auditPublish(body *ringbuf.Shared, about []byte) {
	to := l.routeOf(messageTopicName).targets
	m := outgoingOf(body, true, 0)
	if a := l.broker.authority.Load(); a != nil && a.Policy != nil {
		m.about = string(topic.Lower(nil, about))
		to = l.auditors(to, m.about)
	}
	l.deliver(to, &m)
	l.sendGroups(to.remote, &m, ackRef{}, true)
	body.Release()
}

// auditors are those of the audit's targets that may know of a topic; those of other loops are
// looked at there.
func (l *Loop) auditors(to *targets, about string) *targets {
	may := &targets{remote: to.remote}
	for i := range to.own {
		own := &to.own[i]
		for k, c := range own.conns {
			if c.mayAudit([]byte(about)) {
				some := may.ownOf(own.form)
				some.conns = append(some.conns, c)
				some.deliveries = append(some.deliveries, own.deliveries[k])
			}
		}
	}
	return may
}
