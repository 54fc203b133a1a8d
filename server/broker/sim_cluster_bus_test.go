package broker

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// simBus is the model of a bus: what one lane sends to one subject arrives in order, or not at all.
type simBus struct {
	s     *clusterSim
	ends  []*simEnd
	delay int64 // ms: most that a frame takes

	// What is wrong with it.
	down    int       // so many reasons
	loses   [2]int    // per cent: of control, of publishes
	doubles int       // per cent
	blocked [4][4]int // from place to place: so many reasons
}

// simEnd is one run's way to the bus.
type simEnd struct {
	bus    *simBus
	n      *simNode
	ears   []*simEar
	last   map[[2]int]int64 // by lane and ear of the receiver: when what was sent last arrives
	closed bool
	cut    int   // so many reasons for which nothing passes,
	knows  int64 // which it notices at this time
	deaf   int   // the same for publishes that come in
}

// simEar is what one listens to.
type simEar struct {
	end      *simEnd
	subjects [][]string
	publish  bool
	f        func(subject string, frame []byte)
	frames   []simFrame // in the order in which they arrive
}

type simFrame struct {
	at      int64
	from    *simNode
	subject string
	bytes   []byte
}

func (b *simBus) join(n *simNode) *simEnd {
	e := &simEnd{bus: b, n: n, last: make(map[[2]int]int64)}
	b.ends = slices.DeleteFunc(b.ends, func(e *simEnd) bool { return e.n.ended })
	b.ends = append(b.ends, e)
	return e
}

// Listen implements backplane.Bus.
func (e *simEnd) Listen(subjects []string, f func(subject string, frame []byte)) error {
	ear := &simEar{end: e, f: f, publish: strings.HasSuffix(subjects[0], ".pub.*")}
	for _, subject := range subjects {
		ear.subjects = append(ear.subjects, strings.Split(subject, "."))
	}
	e.ears = append(e.ears, ear)
	return nil
}

// Close implements backplane.Bus.
func (e *simEnd) Close() {}

var errBusDown = errors.New("the bus is away")

// Send implements backplane.Bus.
func (e *simEnd) Send(lane int, subject string, frame []byte) error {
	b, s := e.bus, e.bus.s
	if e.closed {
		return errBusDown
	}
	if e.cut > 0 || b.down > 0 {
		if s.now >= e.knows {
			return errBusDown
		}
		s.totals["frame lost"]++
		return nil
	}
	name := strings.Split(subject, ".")
	for _, to := range b.ends {
		for i, ear := range to.ears {
			if slices.ContainsFunc(ear.subjects, func(p []string) bool { return fits(p, name) }) {
				e.carry(lane, to, i, subject, frame)
			}
		}
	}
	return nil
}

// carry brings a frame to an ear, or does not.
func (e *simEnd) carry(lane int, to *simEnd, ear int, subject string, frame []byte) {
	b, s := e.bus, e.bus.s
	kind := 0
	if lane >= 0 {
		kind = 1
	}
	if to.closed || b.blocked[e.n.place][to.n.place] > 0 || s.chance(b.loses[kind]) {
		s.totals["frame lost"]++
		return
	}
	// The readers of a node read one connection each: what a lane sends arrives there in order.
	stream := [2]int{lane, int(to.n.inc)*8 + ear}
	at := max(e.last[stream], s.now+s.random.Int64N(b.delay+1))
	e.last[stream] = at
	times := 1
	if s.chance(b.doubles) {
		times++
		s.totals["frame doubled"]++
	}
	a := to.ears[ear]
	i := len(a.frames)
	for i > 0 && a.frames[i-1].at > at {
		i--
	}
	for range times {
		a.frames = slices.Insert(a.frames, i, simFrame{at, e.n, subject, bytes.Clone(frame)})
	}
}

// fits says whether a subject matches a pattern of NATS' with * alone.
func fits(pattern, subject []string) bool {
	if len(pattern) != len(subject) {
		return false
	}
	for i := range pattern {
		if pattern[i] != "*" && pattern[i] != subject[i] {
			return false
		}
	}
	return true
}

// hear has the first frame heard.
func (a *simEar) hear() {
	f := a.frames[0]
	a.frames = a.frames[1:]
	e, s := a.end, a.end.bus.s
	if e.cut > 0 || e.bus.down > 0 || a.publish && e.deaf > 0 {
		s.totals["frame lost"]++
		return
	}
	if strings.HasSuffix(f.subject, ".ctl") {
		e.n.heard[f.from.inc] = s.now
	}
	a.f(f.subject, f.bytes)
}

// hurt has something go wrong, for a time, and again after a while.
func (s *clusterSim) hurt() {
	if !s.faults {
		return
	}
	s.after(50+s.random.Int64N(900), s.hurt)
	place := s.random.IntN(guestPlace)
	n := s.nodes[place]
	last := 20 + s.random.Int64N(1200)
	if n == nil {
		return
	}
	switch dice := s.random.IntN(100); {
	case dice < 12:
		s.lossy(last)
	case dice < 27:
		s.cut(n, last)
	case dice < 39:
		s.block(n, last)
	case dice < 49:
		s.bringDown(last)
	case dice < 60:
		s.kill(n, s.random.Int64N(1500))
	case dice < 75:
		s.stand(n, 2*last)
	case dice < 82:
		s.leave(n, 50+s.random.Int64N(800))
	case dice < 90:
		s.stick(n, last)
	default:
		s.deafen(n, last)
	}
}

// until has something wrong for a time with some nodes, and at the latest until all is healed.
func (s *clusterSim) until(ms int64, end func(), nodes ...*simNode) {
	for _, n := range nodes {
		n.wrong()
	}
	done := false
	s.heals = append(s.heals, func() {
		if done {
			return
		}
		done = true
		for _, n := range nodes {
			n.right()
		}
		end()
	})
	s.after(ms, s.heals[len(s.heals)-1])
}

// untilAll is until for what is wrong with all nodes, those that come meanwhile included.
func (s *clusterSim) untilAll(ms int64, end func()) {
	s.amiss++
	s.until(ms, func() {
		s.amiss--
		for _, n := range s.all() {
			n.touched = s.now
		}
		end()
	})
}

// heal ends all that is wrong.
func (s *clusterSim) heal() {
	s.say("all is healed")
	s.faults = false
	for len(s.heals) > 0 {
		heal := s.heals[0]
		s.heals = s.heals[1:]
		heal()
	}
	for i, n := range s.nodes[:guestPlace] {
		if n == nil {
			s.start(i, nameOf(i))
		}
	}
	s.calmFrom = s.now
}

// all are the nodes that there are.
func (s *clusterSim) all() (all []*simNode) {
	for _, n := range s.nodes {
		if n != nil {
			all = append(all, n)
		}
	}
	return all
}

func (s *clusterSim) lossy(ms int64) {
	b, ctl, pub, doubles := s.bus, s.random.IntN(40), s.random.IntN(60), s.random.IntN(20)
	slow := s.random.Int64N(2) * s.random.Int64N(300)
	s.say("the bus loses %d%% and %d%%, doubles %d%%, takes %d ms", ctl, pub, doubles, slow)
	b.loses[0] += ctl
	b.loses[1] += pub
	b.doubles += doubles
	b.delay += slow
	s.untilAll(ms, func() {
		s.say("the bus is good again")
		b.loses[0] -= ctl
		b.loses[1] -= pub
		b.doubles -= doubles
		b.delay -= slow
	})
}

func (s *clusterSim) cut(n *simNode, ms int64) {
	s.say("%s is cut off", n.name)
	n.end.cut++
	n.end.knows = s.now + s.random.Int64N(500)
	s.until(ms, func() { s.say("%s is no longer cut off", n.name); n.end.cut-- }, n)
}

func (s *clusterSim) deafen(n *simNode, ms int64) {
	s.say("%s gets no publishes", n.name)
	n.end.deaf++
	s.until(ms, func() { s.say("%s gets publishes again", n.name); n.end.deaf-- }, n)
}

func (s *clusterSim) block(n *simNode, ms int64) {
	b, i, j := s.bus, n.place, (n.place+1+s.random.IntN(2))%3
	both := s.chance(50)
	s.say("nothing comes from place %d to %d, both ways: %v", i, j, both)
	add := func(by int) {
		b.blocked[i][j] += by
		if both {
			b.blocked[j][i] += by
		}
	}
	add(1)
	s.untilAll(ms, func() { s.say("it comes again from %d to %d", i, j); add(-1) })
}

func (s *clusterSim) bringDown(ms int64) {
	s.say("the bus goes down")
	s.bus.down++
	for _, e := range s.bus.ends {
		e.knows = s.now + s.random.Int64N(500)
	}
	s.untilAll(ms, func() { s.say("the bus is back"); s.bus.down-- })
}

func (s *clusterSim) kill(n *simNode, ms int64) {
	s.say("%s is killed", n.name)
	s.totals["node killed"]++
	n.stop()
	s.until(ms, func() {
		if s.nodes[n.place] == nil {
			s.start(n.place, n.name)
		}
	})
}

func (s *clusterSim) leave(n *simNode, ms int64) {
	s.say("%s leaves", n.name)
	s.totals["node left"]++
	n.plane.Leave()
	n.left = true
	for lane := -1; lane < 2*s.loops; lane++ {
		for n.plane.Waits(lane) {
			n.plane.Send(lane)
		}
	}
	n.stop()
	s.until(ms, func() {
		if s.nodes[n.place] == nil {
			s.start(n.place, n.name)
		}
	})
}

func (s *clusterSim) stand(n *simNode, ms int64) {
	if n.still {
		return
	}
	s.say("%s stands still", n.name)
	s.totals["node stood still"]++
	n.still = true
	s.until(ms, func() { s.say("%s goes on", n.name); n.still = false }, n)
}

func (s *clusterSim) stick(n *simNode, ms int64) {
	n.stuck = s.random.IntN(2*s.loops+1) - 1
	s.say("the bus takes nothing of lane %d of %s", n.stuck, n.name)
	s.until(ms, func() { s.say("it takes it again"); n.stuck = stuckNone }, n)
}
