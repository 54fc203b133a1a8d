package broker

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"mbserver/codec"
	"mbserver/server/config"
)

// simSettings are the parts of a node that only some simulations turn on.
type simSettings struct {
	pausing  bool  // back pressure
	pauseMax int64 // ms
	patience bool  // and nobody chooses to lose, or to be cut
	memory   bool  // the budget is tiny
	shedSeen uint64
	cutSeen  uint64
	rates    *simRates // nil: no limit
	logs     bool
	audits   bool
	auditor  *simClient
	holes    bool // much is dropped where the order in which clients receive is known
	simDrain
	ranAt []int64 // by loop: its idea of the time in its last turn

	auditFrom map[string][]string // service ID to what the audit says was taken from it
	auditTo   map[string]int      // and to how many it was sent
}

func (s *simulation) choose() {
	s.pausing, s.memory, s.logs = s.chance(35), s.chance(15), s.chance(15)
	s.audits, s.drains = s.chance(20), s.chance(25)
	if s.holes = s.chance(25); s.holes {
		s.pausing, s.logs, s.audits = false, false, false
	}
	s.auditFrom, s.auditTo = make(map[string][]string), make(map[string]int)
	if s.chance(25) {
		s.rates = s.newRates()
	}
}

func (s *simulation) adjust(cfg *config.Config) {
	if s.patience = s.pausing && s.chance(50); s.pausing {
		s.pauseMax = []int64{20, 100, 300}[s.random.IntN(3)]
		cfg.Connection.Backpressure = config.BackpressurePause
		cfg.Connection.BackpressureMax = time.Duration(s.pauseMax) * time.Millisecond
	}
	if s.holes {
		cfg.Connection.OutboundMessages = 8
	}
	if s.memory {
		cfg.Message.PayloadMaxLength = 6000
		cfg.Connection.OutboundBytes, cfg.Connection.OutboundMessages = 96<<10, 1000
	}
	if s.rates != nil {
		s.rates.configure(&cfg.RateLimit)
	}
}

func (s *simulation) arrange() {
	s.ranAt = make([]int64, len(s.n.loops))
	s.pausing = s.n.pause // not every system can
	if s.memory {
		// Less than a configuration may ask for.
		s.n.budget.set(int64(20_000 + s.random.IntN(150_000)))
	}
	s.n.tick = []int64{0, quantum / 8, quantum}[s.random.IntN(3)]
	s.n.workLook = 1 + s.random.IntN(40)
	s.n.writeLook = 1 + s.random.IntN(3)
	if s.logs {
		s.n.onLine = s.logged
	}
}

// runLoop gives loop i one turn.
func (s *simulation) runLoop(i int) {
	l := s.n.loops[i]
	s.n.wake(l)
	s.noteUnread(i)
	l.before, l.units, l.look = 0, 0, l.broker.workLook // what arrived has its share in any case
	ended, outs := s.beforeEnds(l), l.outs
	s.n.run(i)
	s.ranAt[i] = l.time.Ms
	s.noteTaking(l)
	s.checkWork(l, outs)
	s.checkEnds(l, ended)
	for _, k := range s.places {
		if k != nil {
			k.checkTaken()
		}
	}
}

// checkWork holds that a turn has given way when its quantum was over.
// outs is how often it had compressed before.
func (s *simulation) checkWork(l *Loop, outs uint32) {
	if l.GivesWay() {
		s.totals["gave way"]++
	}
	if s.n.tick == 0 {
		return // its clock stands still
	}
	// Two quanta go to what is left over and to writing, six halves and quarters to the rest.
	const kinds = 8
	step := messageWork + errorWork + len(s.places)
	m, compressed := s.n.maxFrame, int(l.outs-outs)
	if l.ins > 0 {
		step += inflateWork + m/inflateUnit + m/readUnit
	}
	// Some messages come without a look at the clock, such as the ends of who has left's requests.
	step += compressed * (deflateWork + m/deflateUnit)
	most := kinds * (int(quantum/s.n.tick) + 1) * (s.n.workLook + step)
	if did := l.before + l.units; did > most {
		s.fail("loop %d did %d units of work in a turn, it may do %d", l.index, did, most)
	}
}

// simFlow is what is known of the flow between one client and the node.
type simFlow struct {
	single    bool // it does not read while it cannot write
	choked    bool // and so it does not now
	pausedBy  *pauseState
	pausedAt  int64 // when it was first seen paused while nothing else was to be done
	toldPause bool
	refused   map[string]int // scope and request ID to how many over a limit it was not told of
	closeCode uint16         // of the WebSocket close that it received
}

func (k *simClient) startFlow() {
	k.refused = make(map[string]int)
	k.single = k.s.pausing && k.s.chance(40)
}

// readOn lets the client take everything, unless it is busy writing.
func (k *simClient) readOn() {
	if !k.choked {
		k.unblock(0, true)
	}
}

// choke has a client with one thread stop reading while it is stuck in a write, as two such clients
// that publish to each other would wait for ever.
func (k *simClient) choke() {
	stuck := k.single && k.sock.paused && len(k.outbox) > 0 && k.alive()
	if stuck == k.choked {
		return
	}
	if k.choked = stuck; !stuck {
		k.unblock(0, true)
		return
	}
	k.s.say("%s cannot write, and does not read", k.name)
	k.s.totals["stuck in a write"]++
	k.unsteady = true
	k.sock.unlimited, k.sock.budget = false, 0
}

// blocked says that somebody who is served can still not write.
func (s *simulation) blocked() bool {
	for _, k := range s.places {
		if k != nil && k.alive() && len(k.outbox) > 0 {
			return true
		}
	}
	return s.n.paused.Load() > 0
}

// simRounds bounds the wait for paused publishers, in rounds of 100 ms.
const simRounds = 3000

// noteFlow takes the word that the client is paused, or read on.
func (k *simClient) noteFlow(m *testMessage) {
	var flow struct{ State, Topic string }
	next := "paused"
	if k.toldPause {
		next = "resumed"
	}
	if json.Unmarshal(m.payload, &flow) != nil || flow.Topic == "" || flow.State != next {
		k.s.fail("%s, of whom paused = %v, is told %s", k.name, k.toldPause, m.payload)
	}
	if k.toldPause = !k.toldPause; k.toldPause {
		k.s.totals["publisher paused"]++
	}
}

// earliest is the oldest time that any loop may still believe in.
func (s *simulation) earliest() int64 {
	at := s.n.ms
	for _, l := range s.n.loops {
		if l.inTurn {
			at = min(at, l.time.Ms)
		}
	}
	return at
}

// outlast lets all that may be waited for room pass, while nobody reads more than before.
func (s *simulation) outlast() {
	s.say("nobody reads for %d ms", s.pauseMax+1)
	s.n.advance(s.pauseMax + 1)
	s.settle()
}

// checkPatience holds that an acknowledged publish is lost to a patient subscriber only when it has
// waited as long as it may.
func (s *simulation) checkPatience(p *simPublish) {
	if !s.pausing || p.dropped == 0 || !p.patient || !p.steady() {
		return
	}
	s.totals["pause ran out"]++
	if waited := s.n.ms - p.since; waited < s.pauseMax {
		s.fail("%s was dropped for %d after %d ms, it may wait %d",
			p.key, p.dropped, waited, s.pauseMax)
	}
}

// checkFlow holds that who is paused has a reason to be, and for no longer than allowed.
func (s *simulation) checkFlow() {
	paused, idle := int64(0), s.idle()
	for _, l := range s.n.loops {
		waits := 0
		for _, c := range l.conns {
			if c == nil {
				continue
			}
			if c.paused != nil {
				if c.paused.told {
					paused++
				}
				resumes := slices.Contains(l.resuming.waiting(), &c.service)
				resumes = resumes || c.state == stateClosing
				if !l.inTurn && !c.paused.stops() && !c.paused.left && !resumes ||
					idle && c.paused.filling {
					s.fail("%s is paused for no reason: %+v", c.id, c.paused)
				}
				if c.paused.request.body != nil {
					s.totals["request held back"]++
				}
				if c.paused.filling {
					s.totals["held for filling an inbox"]++
				}
			}
			for p := range c.waiting() {
				waits++
				done := p.left <= 0 || p.body == nil || !p.timer.Armed() && l.pieces.len() == 0
				ends := l.closing.len() > 0 || l.pieces.len() > 0
				if done || !l.inTurn && c.state != stateOpen && !ends {
					s.fail("%s in state %d: a publish waits for it that is done: %d left, timer %v",
						c.id, c.state, p.left, p.timer.Armed())
				}
			}
		}
		for c := range s.departed(l) {
			for range c.waiting() {
				waits++
			}
		}
		if waits != l.parkedCount {
			s.fail("%d publishes wait on loop %d, %d are counted", waits, l.index, l.parkedCount)
		}
	}
	if paused != s.n.paused.Load() {
		s.fail("%d publishers are paused, %d are counted", paused, s.n.paused.Load())
	}
	for _, k := range s.places {
		switch {
		case k == nil || !idle:
		case k.paused != nil && k.paused.owing != nil:
			k.checkOwing()
		case k.paused != k.pausedBy:
			k.pausedBy, k.pausedAt = k.paused, s.n.ms
		case k.paused != nil && s.n.ms-k.pausedAt >= s.pauseMax:
			s.fail("%s is paused for %d ms, the bound is %d", k.name, s.n.ms-k.pausedAt, s.pauseMax)
		}
	}
}

// checkOwing holds that a client is not read for its answers only while it owes itself much, and
// not for long when it takes none.
func (k *simClient) checkOwing() {
	s, o := k.s, k.paused.owing
	s.totals["not read for its answers"]++
	if k.pausedBy != k.paused {
		k.pausedBy, k.pausedAt = k.paused, s.n.ms
	}
	if !owes(&k.out, s.n.owedLow) {
		s.fail("%s owes itself %d messages, and is not read", k.name, k.out.OwnMessages())
	}
	if !o.timer.Armed() || !k.sock.waiting {
		s.fail("%s stands for ever: timer %v, waiting %v", k.name, o.timer.Armed(), k.sock.waiting)
	}
	if s.n.ms-o.since > 2*s.n.stallTimeout && !o.moved {
		s.fail("%s has taken nothing for %d ms", k.name, s.n.ms-o.since)
	}
}

// checkOwed holds that a connection owes itself no more than half of its ring and what was on its
// way.
func (s *simulation) checkOwed(c *Conn) {
	if !owes(&c.out, s.n.owedHigh) {
		return
	}
	under := 2 // one that was just taken, and its error
	for _, call := range s.calls {
		if call.from.Conn == c && call.answers == 0 {
			under++
		}
	}
	for _, p := range s.publishes {
		if p.from.Conn == c && p.answers == 0 {
			under++
		}
	}
	for _, r := range s.requests {
		if r.from.Conn == c && r.answers == 0 {
			under++
		}
	}
	if c.state == stateOpen && (c.paused == nil || c.paused.owing == nil) {
		s.fail("%s owes itself %d bytes and is read", c.id, c.out.OwnBytes())
	}
	if most := s.n.owedHigh.Messages + under; c.out.OwnMessages() > most {
		s.fail("%s owes itself %d messages, it may owe %d", c.id, c.out.OwnMessages(), most)
	}
}

// checkFlowAtRest holds that the client has been told everything, and is read.
func (k *simClient) checkFlowAtRest() {
	if k.toldPause || k.sock.paused || k.parked != nil {
		k.s.fail("%s was told paused = %v, its socket is paused = %v, %v waits for it",
			k.name, k.toldPause, k.sock.paused, k.parked)
	}
	for key, n := range k.refused {
		if n != 0 {
			k.s.fail("%s was not told of %d messages over a limit: %s", k.name, n, key)
		}
	}
	if k.ordered() && len(k.ledger)-k.seen != k.told {
		k.s.fail("%s was told of %d lost after the last one of %d",
			k.name, k.told, len(k.ledger)-k.seen)
	}
}

// shed says that the client may have been cut for the sake of memory. Any that was cut may: who was
// cut for a reason of which more is known is asked for that first (starved).
func (k *simClient) shed() bool {
	s := k.s
	if !s.memory || !k.Conn.aborted || s.n.budget.shed.Load() <= s.shedSeen {
		return false
	}
	s.shedSeen++
	k.excused = true
	return true
}

// starved says that the client was cut because it took none of its answers for long enough.
func (k *simClient) starved() bool {
	s := k.s
	if !k.Conn.aborted || s.n.unread.cut.Load() <= s.cutSeen ||
		s.n.ms-k.sock.tookAt < s.n.stallTimeout {
		return false
	}
	s.cutSeen++
	s.totals["cut for its answers"]++
	k.excused = true
	return true
}

// checkCharges holds that the node's charge is the sum of what it holds.
func (s *simulation) checkCharges() {
	total, waiting := int64(0), int64(0)
	for _, l := range s.n.loops {
		sum := int64(0)
		parked := make(map[*parkedPublish]bool)
		for _, c := range l.conns {
			if c == nil {
				continue
			}
			sum += c.charge()
			sum += c.heldParked(parked)
			sum += s.checkStory(c)
			if c.paused != nil && c.paused.rest != nil {
				sum += bodyCharge(c.paused.rest)
			}
		}
		for c := range s.departed(l) {
			sum += c.heldParked(parked)
		}
		for _, q := range l.queues.busy {
			sum += q.cost()
			waiting += q.cost()
			for e := range q.All() {
				sum += waitCharge + bodyCharge(e.body)
				waiting += waitCharge + bodyCharge(e.body)
			}
		}
		for _, e := range l.outstanding.slots {
			if e != nil && (e.target != nil || e.queue != nil) {
				sum += e.cost()
			}
		}
		sum += s.heldBeside(l) + l.routes.charged + l.trace.charged
		if book := l.trace.book; book != nil && !l.inTurn &&
			l.trace.charged != int64(book.Held()) {
			s.fail("loop %d keeps fates of %d bytes and is charged %d",
				l.index, book.Held(), l.trace.charged)
		}
		routes := int64(l.routes.publishes.Held() + l.routes.requests.Held())
		if !l.inTurn && l.routes.charged != max(routes-s.n.routesFree, 0) {
			s.fail("loop %d remembers routes of %d bytes and is charged %d",
				l.index, routes, l.routes.charged)
		}
		if sum != l.charge {
			s.fail("loop %d holds %d bytes and is charged %d", l.index, sum, l.charge)
		}
		if !l.inTurn && l.charge != l.charged.Load() {
			s.fail("loop %d is charged %d bytes and says %d", l.index, l.charge, l.charged.Load())
		}
		if in := &l.inbox; in.empty() && in.waiting.Load()+in.held.Load() != 0 {
			s.fail("loop %d: an empty inbox of %d bytes", l.index, in.held.Load())
		}
		total += l.charged.Load() + l.inbox.held.Load()
		s.checkLaggards(l)
	}
	if waiting != s.n.queuedBytes.Load() {
		s.fail("what waits holds %d bytes, %d are counted", waiting, s.n.queuedBytes.Load())
	}
	total += s.n.connections.Load()*connectionCharge + s.n.background.held.Load() +
		s.n.watches.held.Load()
	if total != s.n.charged() {
		s.fail("the loops hold %d bytes, the node is charged %d", total, s.n.charged())
	}
}

func (k *simClient) noteClose(m *testMessage) {
	if m.kind == codec.Close && len(m.payload) >= 2 {
		k.closeCode = binary.BigEndian.Uint16(m.payload)
	}
}

// refusal names one kind of message over a limit.
func refusal(scope, id string) string { return fmt.Sprintf("by %s, ID %q", scope, id) }

// noteLimited takes the answer to a message over a limit.
func (k *simClient) noteLimited(id string, m *testMessage) {
	var e struct {
		Error struct {
			Details struct {
				Scope               string
				Limit, RetryAfterMs int
			}
		}
	}
	_ = json.Unmarshal(m.payload, &e)
	d := e.Error.Details
	key := refusal(d.Scope, id)
	if _, named := k.refused[key]; !named {
		key = refusal(d.Scope, "")
	}
	if k.refused[key]--; k.refused[key] < 0 || d.Limit < 1 || d.RetryAfterMs < 1 {
		k.s.fail("%s was refused what passes every limit: %s %s", k.name, m.header, m.payload)
	}
	k.s.totals["limited by "+d.Scope]++
}
