package limit

// credit lets a run of like messages (one connection, one topic, one turn) through without asking
// every limit for each.
//
// Purpose. All limits together cost some 30 ns a message. Under load messages come in runs, and
// what one limit said of a message it will say of the next.
//
// How. At the second such message the gate asks all limits once how much room is left and lends
// itself a part: half of the connection's own, and of the shared ones a 32nd divided by the number
// of loops. Each further message counts the credit down. What was used is paid at the end of the
// turn, or when another connection or topic comes.
//
// Invariants. A credit never outlives its turn. Own limits, and everything with one loop, are
// exact: what is lent is there. What other loops see of the shared buckets lags by what is lent.
//
// Cost. A shared limit may be exceeded by a 32nd within one turn; what follows waits that much
// longer.
type credit struct {
	own      *Own // whose messages it is for; nil: nobody's
	response bool
	name     []byte      // canonical topic; its memory is reused
	lent     int64       // messages that the credit began with
	left     int64       // what is left of it
	topic    *topicState // nil when only the service and the node count
}

// CreditMax is the most messages of one credit: enough that what lending it costs is nothing to
// each of them.
const CreditMax = 64

// CreditShare is the part (1/n) of what is left of a shared limit that the credits of all loops
// together may take.
const CreditShare = 32

// covers tells whether a message is like the last one: of the same connection, topic and kind. Only
// such a run has credit.
func (c *credit) covers(own *Own, m Message) bool {
	return c.own == own && c.response == m.Response && string(c.name) == string(m.Topic)
}

// remember notes the message that the next one is compared with.
func (c *credit) remember(own *Own, m Message) {
	c.own, c.response, c.name = own, m.Response, append(c.name[:0], m.Topic...)
}

// Spend lets a message pass that the credit covers, at the cost of a comparison. false says only
// that Admit has to be asked.
func (g *Gate) Spend(own *Own, m Message) bool {
	if g.credit.left > 0 && g.credit.covers(own, m) {
		g.credit.left--
		return true
	}
	return false
}

// lend lets messages like the one that has just passed go on.
func (g *Gate) lend(t *topicState, now int64) {
	l, c := g.limits, &g.credit
	shared := l.node.Room(l.total, now)
	own := c.own.all.Room(l.perService, now)
	if t != nil {
		shared = min(shared, l.topics.Room(&t.bucket, now))
		for _, i := range t.patterns {
			own = min(own, (*c.own.patterns)[i].Room(l.patterns.Rate(i), now))
		}
	}
	c.lent = min(CreditMax, own/2, shared/int64(CreditShare*l.loops))
	c.left, c.topic = c.lent, t
}

// settle pays what the credit let through.
func (g *Gate) settle(now int64) {
	l, c := g.limits, &g.credit
	if n := c.lent - c.left; n > 0 {
		c.own.all.Pay(l.perService, now, n)
		l.node.Pay(l.total, now, n)
		if t := c.topic; t != nil {
			l.topics.Pay(&t.bucket, c.name, now, n)
			for _, i := range t.patterns {
				(*c.own.patterns)[i].Pay(l.patterns.Rate(i), now, n)
			}
		}
	}
	c.lent, c.left = 0, 0
}

// EndTurn pays what was used, at the end of the loop's turn at nowMs.
func (g *Gate) EndTurn(nowMs int64) {
	if g.credit.own != nil {
		g.settle(nowMs)
		g.credit.own = nil
	}
}
