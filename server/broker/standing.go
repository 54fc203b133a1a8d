package broker

import (
	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/limit"
	"mbserver/server/metrics"
	"mbserver/server/permit"
	"mbserver/server/system"
	"mbserver/server/trace"
	"mbserver/server/trouble"
	"mbserver/server/wheel"
	"mbserver/topic"
)

// Standing: who a connection is, and what it may do (protocol §10).
//
// Purpose. Nobody does, and nobody receives, what is not permitted; a node that asks nobody pays a
// comparison a message.
//
// Outline. A connection of a node that asks has a standing: the grant that its credentials are good
// for, the rules that follow, and until it is authenticated, where that is required, a bound of
// what it may send and a deadline.
//
//	mayAsk     before it is authenticated: only system.auth and heartbeats
//	permitted  may this message be sent? The answer is remembered, by rules and topic
//	           (verdicts.go)
//	subscribe  system.go asks for each pattern once, when it is subscribed to
//	identify   conn_identify.go: system.auth, the notice before the end, the end
//	mute       conn_mute.go: an operator lets it send nothing for a while
//	recheck    conn_recheck.go: rules have changed while it is connected
//
// Invariants. What was permitted was so by the rules that the connection has now. Each path asks:
// publishes and requests here, subscriptions in system.go, the audit in audit.go, requests that
// wait in conn_recheck.go.
//
// Cost. A comparison, of the rules' number with the one beside the topic's route.
type standing struct {
	conn   *Conn
	grant  *auth.Grant   // nil: it is anonymous, or unknown yet
	rules  *permit.Rules // nil: it may do everything
	number uint64        // the rules'; 0: there are none

	held     bool  // demanded, or muted: what it sends is held against that first
	demanded bool  // it has to say who it is before anything else
	failures uint8 // wrong credentials that came on it
	came     int   // bytes that came while it was demanded
	mute     *mute // nil: it may speak

	counted bool // among its identity's connections

	rate limit.Rate // of what it may send by its roles
	sent limit.Local

	timer  wheel.Timer // the next of: too late to say who it is, notice of the end, the end
	warnAt int64       // Unix ms; 0: it was told, or need not be
	fresh  bool        // its rules have changed, and its subscriptions are being looked at
	next   int         // of those, from the last one down
}

// Bounds of who is not known yet (protocol §10).
const (
	unknownBytes = 16 << 10 // that may come
	failuresMax  = 3        // wrong credentials on one connection; the last closes it
	authRoom     = 1 << 10  // of a payload of system.auth, beside the token
)

// stand gives c a standing, if the node asks who connects. grant is what it has proved already;
// false says that this is good no more: the rules have changed since the door looked at it.
func (l *Loop) stand(c *Conn, grant *auth.Grant) (good bool) {
	a := l.broker.authority.Load()
	if grant == nil && !a.asks() {
		return true
	}
	s := newStanding(c)
	s.counted = grant != nil && l.broker.identities.most > 0 // by the door
	s.grant = grant
	if grant != nil {
		now, err := l.broker.Desk.Current(grant, nil)
		if good = err == nil; good {
			s.grant, grant = now, now
			c.mark(markProved, true)
		}
	}
	if s.demand(!good && (grant != nil || a.Required)); s.demanded {
		s.setRules(permit.None)
		l.wheel.Add(&s.timer, l.time.Ms+l.broker.authTimeout)
	} else {
		s.setRules(a.rulesOf(grant))
		s.arm()
	}
	s.show()
	return good || grant == nil
}

// newStanding gives c a standing of which nothing is known yet.
func newStanding(c *Conn) *standing {
	s := &standing{conn: c}
	s.timer.Owner = s
	c.standing = s
	c.loop.standings.holders++
	return s
}

// setRules changes what the connection may do. What waits elsewhere, or is on its way there, is
// held against that too.
func (s *standing) setRules(r *permit.Rules) {
	s.rules, s.number = r, 0
	if r != nil {
		s.number = r.Number()
	}
	if to := limit.PerSecond(r.Rate()); to != s.rate {
		s.sent.Move(s.rate, to, s.conn.loop.time.Ms)
		s.rate = to
	}
	s.conn.describe().rules.Store(r)
}

// show tells other goroutines who the connection is.
func (s *standing) show() {
	p := s.conn.describe()
	if s.grant != nil {
		p.identity.Store(&s.grant.Identity)
	}
	s.conn.describeAbroad()
	s.conn.loop.broker.registry.changes.Add(1)
}

// demand notes whether the connection has to say who it is before anything else.
func (s *standing) demand(demanded bool) {
	s.demanded = demanded
	s.held = demanded || s.mute != nil
}

// mayAsk says whether a message may be looked at whose sender is held: that came before it is
// known, or while it is muted. It answers it when not.
func (l *Loop) mayAsk(c *Conn, h *codec.Header, name []byte) bool {
	if isHeartbeat(h, name) || h.Action == codec.Request && string(name) == system.AuthTopic {
		return true
	}
	if !c.standing.demanded {
		return l.maySpeak(c, h, name)
	}
	l.noteUnheard(c, h, name, "required")
	l.fail(c, h, codec.Unauthorized, "say who you are first: system.auth",
		codec.TextDetail("reason", "required"))
	return false
}

// countUnknown bounds what comes from who is not known yet.
func (s *standing) countUnknown(bytes int) {
	if s.came += bytes; s.came > unknownBytes {
		s.refuse(codec.Unauthorized, "too much was sent before system.auth", "required")
	}
}

// refuse tells the connection why it is closed, and closes it.
func (s *standing) refuse(code codec.Code, message, reason string) {
	s.conn.dismiss(code, message, reason)
}

// remembers says that m, which is nil for a topic without a route, has that the rules allow verb.
func (s *standing) remembers(m *topic.Memo, verb permit.Verb) bool {
	return m != nil && m.Of == s.number && verdict(m.Says).allows(verb)
}

// permitted says whether c, which has a standing, may send a message on a topic of the user, and
// answers it when not. m is what is remembered beside the topic's route; nil when it has none.
func (l *Loop) permitted(
	c *Conn, h *codec.Header, verb permit.Verb, name []byte, m *topic.Memo,
) bool {
	if l.verdictBeside(m, c.standing.rules, name).allows(verb) {
		return true
	}
	if simfaultBuild && strikes(simSkippedCheck) {
		return true
	}
	l.forbidden(c, h, verb)
	return false
}

// verbOf is what a subscription of a kind is called in permissions.
func verbOf(k topic.Kind) permit.Verb {
	if k == topic.Request {
		return permit.Respond
	}
	return permit.Subscribe
}

// mayAudit says whether c may see messages on a canonical topic in the audit.
func (c *Conn) mayAudit(name []byte) bool {
	s := c.standing
	if s == nil || s.rules == nil {
		return true
	}
	if topic.IsSystem(name) {
		return mayKnow(s.rules, name)
	}
	return mayUse(c.loop.verdictOf(s.rules, name))
}

// depart forgets c's standing: c leaves the node.
func (s *standing) depart() {
	l := s.conn.loop
	l.wheel.Cancel(&s.timer)
	l.standings.holders--
	if s.counted {
		l.broker.LeaveAs(s.grant.Identity)
	}
	if s.fresh {
		l.standings.forget(s.conn)
	}
	if s.mute != nil {
		l.wheel.Cancel(&s.mute.timer)
	}
}

// noteForbidden counts something that is not permitted.
func (l *Loop) noteForbidden() {
	l.counts[metrics.Forbidden]++
	l.ill(trouble.MessagesForbidden)
}

// forbidden: the sender may not do that, and is told.
func (l *Loop) forbidden(c *Conn, h *codec.Header, verb permit.Verb) {
	l.noteForbidden()
	l.noteHand(trace.Forbidden, verb.String())
	err := system.Forbidden(verb.String(), string(h.Topic))
	l.fail(c, h, err.Code, err.Message, err.Details...)
}
