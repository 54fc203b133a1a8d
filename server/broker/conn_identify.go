package broker

import (
	"time"

	"mbserver/codec"
	"mbserver/server/auth"
	"mbserver/server/event"
	"mbserver/server/system"
	"mbserver/server/wheel"
)

// noticeTime is how long before its end who a connection is is told so at the latest.
const noticeTime = time.Minute

// wallLooks is how often, in ms, a connection whose identity ends looks at the wall clock: that may
// be set.
const wallLooks = int64(time.Minute / time.Millisecond)

// Authenticate implements system.Caller. On a node that asks nobody every token is welcome.
func (k *caller) Authenticate(token string) *system.Error {
	c, l := k.c, k.c.loop
	if c.standing == nil || !l.broker.Desk.Asks() {
		k.Answer([]byte(`{"status":"success"}`))
		return nil
	}
	c.silence().checking = true
	c.owe()
	to, h := &c.service, k.h.Clone()
	l.broker.Desk.Check(token, func(g *auth.Grant, err error) {
		l.call(func(l *Loop) {
			if c := l.askerOf(to); c != nil {
				l.guard(c, func() { l.identify(c, &h, g, err) })
			}
		})
	})
	return nil
}

// identify ends what Authenticate began: what came after it is taken from now on.
func (l *Loop) identify(c *Conn, h *codec.Header, g *auth.Grant, err error) {
	s := c.standing
	defer c.settle()
	if p := c.paused; p != nil {
		p.checking = false
		if !p.stops() {
			l.resuming.push(&c.service)
		}
	}
	g, err = l.broker.Desk.Current(g, err)
	switch {
	case err != nil:
		l.unidentified(c, h, err)
		return
	case c.state != stateOpen: // its peer has ended its stream: it gets the answer, and no more
	case s.grant != nil && s.grant.Identity != g.Identity:
		l.fail(c, h, codec.Forbidden, "this connection is somebody else's",
			codec.TextDetail("reason", "identity"))
		return
	case s.grant == nil && !s.enter(g):
		l.fail(c, h, codec.RateLimitExceeded, "this identity has as many connections as it may",
			codec.TextDetail("scope", "identity"),
			codec.NumberDetail("limit", l.broker.PerIdentity()))
		return
	default:
		l.assume(c, g)
	}
	l.send(c, l.responseHeader(h.Topic, h.Version, h.RequestID),
		system.AppendIdentified(nil, identificationOf(g)), true)
}

// unidentified answers wrong credentials. After some of them the connection is closed.
func (l *Loop) unidentified(c *Conn, h *codec.Header, err error) {
	s := c.standing
	reason, message := err.Error(), "this token is not valid"
	if err == auth.ErrExpired {
		message = "this token has expired"
	}
	details := []codec.Detail{codec.TextDetail("reason", reason)}
	if left := l.broker.Desk.Failed(c.peer.addr()); left > 0 {
		message = "too many wrong tokens came from this address"
		details = []codec.Detail{codec.TextDetail("reason", "locked_out"),
			codec.NumberDetail("retryAfterMs", int(left.Milliseconds()))}
	}
	l.fail(c, h, codec.Unauthorized, message, details...)
	if s.failures++; s.failures >= failuresMax && c.state == stateOpen {
		l.closeWS(c, codec.ClosePolicy, "too many wrong tokens")
	}
}

// enter counts the connection among those of its identity, unless there are too many.
func (s *standing) enter(g *auth.Grant) bool {
	b := s.conn.loop.broker
	ok := b.EnterAs(g.Identity)
	s.counted = ok && b.PerIdentity() > 0
	return ok
}

// assume makes c who a grant says it is; or renews that.
func (l *Loop) assume(c *Conn, g *auth.Grant) {
	s := c.standing
	was := s.demanded
	if s.grant == nil {
		c.note(event.Identified, 0, 0, g.Identity)
	}
	s.grant = g
	s.demand(false)
	s.setRules(l.broker.authority.Load().rulesOf(g))
	s.arm()
	if was {
		l.announce(c)
	} else {
		s.recheck()
	}
	s.show()
}

// identificationOf is what a connection is told of who it is.
func identificationOf(g *auth.Grant) *system.Identification {
	id := &system.Identification{Identity: g.Identity}
	if !g.Expires.IsZero() {
		id.Expires = g.Expires.UnixMilli()
	}
	return id
}

// arm sets the timer for the notice that who the connection is ends soon: at four fifths of its
// time, or a minute before its end if that is earlier and its time is longer (protocol §10).
func (s *standing) arm() {
	l := s.conn.loop
	l.wheel.Cancel(&s.timer)
	if s.grant == nil || s.grant.Expires.IsZero() {
		return
	}
	now, end := l.time.Unix, s.grant.Expires.UnixMilli()
	s.warnAt = now + (end-now)/5*4
	if end-now > noticeTime.Milliseconds() {
		s.warnAt = min(s.warnAt, end-noticeTime.Milliseconds())
	}
	s.rearm()
}

// rearm sets the timer for what is next.
func (s *standing) rearm() {
	l := s.conn.loop
	next := s.grant.Expires.UnixMilli()
	if s.warnAt != 0 {
		next = s.warnAt
	}
	l.wheel.Add(&s.timer, l.time.Ms+min(max(next-l.time.Unix, 1), wallLooks))
}

// Expire implements wheel.Expirer.
func (s *standing) Expire(*wheel.Timer, int64) {
	s.conn.loop.guard(s.conn, s.expire)
}

func (s *standing) expire() {
	c := s.conn
	l := c.loop
	if c.state != stateOpen {
		return
	}
	if s.demanded {
		s.refuse(codec.Unauthorized, "system.auth did not come in time", "required")
		return
	}
	now, end := l.time.Unix, s.grant.Expires.UnixMilli()
	if now >= end && simfaultBuild && strikes(simLateExpiry) {
		return
	}
	if now >= end {
		s.refuse(codec.Unauthorized, "your credentials have expired", "expired")
		return
	}
	if s.warnAt != 0 && now >= s.warnAt {
		s.warnAt = 0
		l.notice = system.AppendExpiring(l.notice[:0], end, end-now)
		l.tell(c, l.notice)
	}
	s.rearm()
}
