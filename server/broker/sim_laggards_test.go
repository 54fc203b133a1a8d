package broker

import "math/bits"

// checkLaggards holds that who is charged is among the loop's laggards, in the class of its weight,
// and nobody else.
func (s *simulation) checkLaggards(l *Loop) {
	g := &l.laggards
	charged, listed, present := 0, 0, uint64(0)
	charge := int64(0)
	for _, c := range l.conns {
		if c == nil {
			continue
		}
		if c.lag == nil {
			continue
		}
		charged++
		charge += c.lag.charge
		class := classOf(c.lag.charge + c.lag.paid)
		if c.lag.fresh {
			class = max(classOf(c.lag.charge)-freshClasses, 1)
		}
		if c.lag.charge <= 0 || c.lag.conn != c || class != c.lag.class {
			s.fail("%s is listed as %+v", c.id, c.lag)
		}
	}
	for class := range laggardClasses {
		for range g.settled[class].All() {
			listed++
			present |= 1 << class
		}
		for range g.fresh[class].All() {
			listed++
			present |= 1 << class
		}
	}
	if charge != g.charge || !l.inTurn && charge != l.lagging.Load() {
		s.fail("loop %d: laggards hold %d bytes, it says %d and %d",
			l.index, charge, g.charge, l.lagging.Load())
	}
	if listed != charged || present != g.present ||
		int(g.largest.Load()) != max(bits.Len64(present)-1, 0) {
		s.fail("loop %d: %d laggards of %d, classes %b of %b, the largest is %d",
			l.index, listed, charged, g.present, present, g.largest.Load())
	}
}
