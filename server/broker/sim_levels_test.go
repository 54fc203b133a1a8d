package broker

import "mbserver/server/metrics"

// simGauges names those that must have been above zero.
var simGauges = map[int]string{
	metrics.Slow: "slow counted", metrics.Unread: "unread counted",
	metrics.Backlog: "backlog counted",
}

// checkLevels holds what goes up and down at /metrics to what there is.
func (s *simulation) checkLevels() {
	for _, l := range s.n.loops {
		if l.inTurn {
			continue
		}
		var want metrics.Counts
		laggards := 0
		for _, c := range l.conns {
			if c == nil {
				continue
			}
			want[c.transport.level()]++
			if c.blocked {
				want[metrics.Slow]++
			}
			if c.paused != nil && c.paused.silent {
				want[metrics.Unread]++
			}
			if c.lag != nil {
				laggards++
				want[metrics.Backlog] = max(want[metrics.Backlog], uint64(c.lag.charge+c.lag.paid))
			}
		}
		for _, level := range []int{
			metrics.OpenTCP, metrics.OpenWS, metrics.OpenTLS, metrics.OpenWSS,
			metrics.Slow, metrics.Unread, metrics.Backlog,
		} {
			if level == metrics.Backlog && laggards > topLooks {
				continue
			}
			if l.counts[level] != want[level] {
				s.fail("loop %d counts level %d as %d, it is %d",
					l.index, level, l.counts[level], want[level])
			}
			if name := simGauges[level]; name != "" && want[level] > 0 {
				s.totals[name]++
			}
		}
	}
}
