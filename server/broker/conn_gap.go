package broker

import (
	"log/slog"

	"mbserver/server/event"
	"mbserver/server/system"
)

// gap is what a connection was not given and has not been told of yet. Loop only.
type gap struct {
	lost         int   // dropped; until it is told nothing that may be dropped is taken
	oldest       int   // dropped from the front of the backlog: told in front of it
	conflated    int   // replaced by newer ones of their topic
	across       int   // publishes of other nodes that may have been meant for it
	since, until int64 // Unix ms of the first and the last of them
}

// gapOf returns c's gap, opened or extended to now.
func (c *Conn) gapOf() *gap {
	l := c.loop
	if c.gap == nil {
		c.gap = &gap{since: l.time.Unix}
	}
	c.gap.until = l.time.Unix
	return c.gap
}

// noteLoss counts n deliveries that c did not get, of which it will be told unless it is leaving.
func (c *Conn) noteLoss(n int) {
	c.loop.dropped(n)
	if c.state == stateOpen {
		c.warnSlow() // first: what is lost from here on is of its spell
	}
	c.describe().dropped.Add(int64(n))
	if c.state != stateOpen {
		return
	}
	c.gapOf().lost += n
	if simfaultBuild && strikes(simMiscountedGap) {
		c.gap.lost++
	}
	c.queueFlush() // the end of the turn tells of it if there is room by then
}

// noteOldest counts a message that was taken out of the front of the backlog.
func (c *Conn) noteOldest() {
	c.loop.dropped(1)
	c.warnSlow()
	c.describe().dropped.Add(1)
	c.gapOf().oldest++
}

// noteReplaced counts the messages that newer ones of their topic have replaced since it was last
// asked.
func (c *Conn) noteReplaced() {
	if n := c.out.Replaced(); n > 0 {
		c.loop.conflated(n)
		c.gapOf().conflated += n
		c.loop.heed(c)
	}
}

// noteAcross notes that n publishes of other nodes were lost: some may have been meant for c.
func (c *Conn) noteAcross(n int) {
	c.gapOf().across += n
	c.queueFlush()
}

func (c *Conn) warnSlow() {
	if c.gap == nil || c.gap.lost+c.gap.oldest == 0 {
		c.loop.warn(c, "slow subscriber, messages are dropped")
		c.begins(event.Lost, 0, "")
	}
}

// warn writes a rate-limited line about a connection that does not keep up.
func (l *Loop) warn(c *Conn, message string) {
	if !l.quiet {
		l.broker.Throttle.LogAbout(l.broker.modules.connection, slog.LevelWarn, message, c.name(),
			"serviceId", c.id.String(), "remote", c.peer.String(),
			"bytes", c.out.Bytes(), "messages", c.out.Messages())
	}
}

// tellGap queues the notice of what was lost; later messages are taken again. It waits until the
// queue has drained to half (not with force): a subscriber that is always a little too slow would
// otherwise get a notice between any two messages.
func (c *Conn) tellGap(force bool) {
	l := c.loop
	g := c.gap
	if c.state != stateOpen || g == nil || g.lost == 0 && g.conflated == 0 && g.across == 0 {
		return
	}
	if !force &&
		(c.out.Bytes() > l.broker.limits.Bytes/2 || c.out.Messages() > l.broker.limits.Messages/2) {
		return
	}
	if !force && g.lost == 0 && c.out.Stalled() {
		return // what was conflated is told when the subscriber has caught up
	}
	lost, conflated, across, since, until := g.lost, g.conflated, g.across, g.since, g.until
	g.lost, g.conflated, g.across = 0, 0, 0
	if g.oldest == 0 {
		c.gap = nil
		c.ends(event.Lost, 0)
	}
	if lost > 0 {
		c.comes(event.Told, 0, "")
	}
	if across > 0 {
		l.notice = system.AppendMissed(l.notice[:0], across, since, until)
		l.tell(c, l.notice)
	}
	if lost > 0 || conflated > 0 {
		l.notice = system.AppendDropped(l.notice[:0], lost, conflated, since, until)
		l.tell(c, l.notice)
	}
}

// tellOldest puts the notice about what the front of the backlog lost in front of what is left of
// it.
func (c *Conn) tellOldest() {
	g := c.gap
	if g == nil || g.oldest == 0 || !c.out.Stalled() {
		return
	}
	l := c.loop
	if simfaultBuild && strikes(simMisplacedNotice) {
		g.lost, g.oldest = g.lost+g.oldest, 0
		return
	}
	l.notice = system.AppendDropped(l.notice[:0], g.oldest, g.conflated, g.since, g.until)
	g.oldest, g.conflated = 0, 0
	if g.lost == 0 && g.across == 0 {
		c.gap = nil
		c.ends(event.Lost, 0)
	}
	c.comes(event.Told, 0, "")
	l.framed = appendFraming(l.framed[:0], c.form, true, len(l.notice))
	c.out.PushFront(append(l.framed, l.notice...))
	audited := l.broker.audited()
	l.sent(c, &outgoing{header: l.notice, audit: audited, shown: audited})
}
