package broker

import (
	"mbserver/codec"
	"mbserver/topic"
)

// A connection's part of a drain (loop_drain.go): what keeps it, and how it goes.

// serves says whether c has a subscription for requests.
func (c *Conn) serves() bool { return c.subs != nil && c.subs.serving > 0 }

// noteServing notes that c has begun or ended to serve requests, which it served before or not.
func (c *Conn) noteServing(served bool) {
	if serves := c.serves(); serves != served {
		c.loop.drain.count(serves, 1) // first, so that there are not too few for a moment
		c.loop.drain.count(served, -1)
		c.mark(markServes, serves)
		c.reconsider()
	}
}

// expects says whether anything of c is outstanding: answers that it is owed, requests of its own
// that wait, or that it is to answer, those on their way to it too. What it has sent and was not
// taken yet may hold such.
func (c *Conn) expects() bool {
	return c.unanswered > 0 || c.service.outstanding.Load() > 0 || c.queued.Load() > 0 ||
		c.paused != nil
}

// busy says whether something would be lost if c was closed now: beside what it expects, what waits
// in its ring or for room there, and a message of which only a part has come.
func (c *Conn) busy() bool {
	return c.expects() || c.parked != nil || !c.out.Empty() || c.dec.Buffered() > 0
}

// slotCame: it is c's turn to go.
func (c *Conn) slotCame() {
	if c.marked(markDue) {
		return
	}
	c.mark(markDue, true)
	c.loop.loadChanged(&c.service)
	c.settleDeparture()
}

// replaced says whether every pattern that c takes requests of has a service on another node.
func (c *Conn) replaced() bool {
	for _, s := range c.subs.all() {
		if s.kind == topic.Request && !c.loop.broker.servedElsewhere(s.pattern) {
			return false
		}
	}
	return true
}

// settleDeparture closes c, whose slot has come, if nothing keeps it.
func (c *Conn) settleDeparture() {
	d := &c.loop.drain
	held := c.serves() && c.loop.broker.clients.Load() > 0 && !c.marked(markCut) && !c.replaced()
	if was := c.marked(markHeld); held != was {
		c.mark(markHeld, held)
	} else if held {
		return
	}
	switch {
	case c.state != stateOpen:
	case held:
		d.held.push(handle{c.slot, c.gen})
	case c.marked(markRefused):
		switch {
		case c.expects():
		case c.hasAsked():
			c.endAsking() // whatever it was
		default:
			c.bye()
		}
	case simfaultBuild && strikes(simHastySlot):
		c.bye()
	case !c.busy() && !c.hasAsked():
		c.bye()
	case !c.marked(markGrace):
		c.mark(markGrace, true)
		d.wait(&d.busy, c, d.grace)
	}
}

// hasAsked takes what has arrived of c and was not reported yet, and says whether there was
// anything: it is answered, or refused, before c goes.
func (c *Conn) hasAsked() bool {
	in := c.sock.Read()
	if len(in) == 0 {
		return false
	}
	c.Receive(in) // and c is looked at again
	return true
}

// reconsider has a connection whose slot has come looked at before the turn ends: something of it
// may have come to its end. In a turn.
func (c *Conn) reconsider() {
	if c.marked(markDue) && !c.marked(markReady) {
		c.mark(markReady, true)
		c.loop.drain.ready.push(c)
	}
}

// graceOver ends the time in which c may ask on though its slot has come. What it has asked is
// answered yet.
func (c *Conn) graceOver() {
	if c.marked(markHeld) {
		c.mark(markGrace, false) // it has another when its clients are gone
		return
	}
	c.mark(markRefused, true)
	c.loop.parting = max(c.loop.parting, partSome)
	c.settleDeparture()
}

// refusesTo says whether what c asks now is refused because it has to go: for refusedTime, after
// which it is cut off.
func (l *Loop) refusesTo(c *Conn) bool {
	switch {
	case l.parting == partAll || c.marked(markCut):
		return true
	case !c.marked(markRefused):
		return false
	}
	c.endAsking()
	return true
}

// endAsking has c, which goes on asking after its grace, cut off after refusedTime.
func (c *Conn) endAsking() {
	if !c.marked(markAsks) {
		c.mark(markAsks, true)
		c.loop.drain.wait(&c.loop.drain.asks, c, refusedTime)
	}
}

// cutOff ends c though something is outstanding: that is answered so, and c closed when it has the
// answers, or soon after. It counts as cut.
func (c *Conn) cutOff() {
	c.noteCut()
	c.mark(markHeld, false)
	c.mark(markDue|markRefused, true)
	d := &c.loop.drain
	d.on = true
	d.wait(&d.cuts, c, cutTime)
	for _, l := range c.loop.broker.loops {
		if !l.drain.cutting.Swap(true) {
			l.call((*Loop).failCut)
		}
	}
	c.reconsider()
}

// noteCut counts c, once, as a connection that the end of the node takes something from.
func (c *Conn) noteCut() {
	if !c.marked(markCut) {
		c.mark(markCut, true)
		c.loop.broker.cut.Add(1)
	}
}

// bye closes c after its last messages.
func (c *Conn) bye() {
	c.loop.closeWS(c, codec.CloseGoingAway, "the server is going away")
}
