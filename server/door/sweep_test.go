package door

import (
	"context"
	"testing"
	"time"

	"mbserver/server/broker"
	"mbserver/server/config"
)

// However many visits end at once, by their time or with the node, a gate ends some of them and has
// the loop look at its sockets before it goes on.
func TestVisitsEndInPieces(t *testing.T) {
	for name, end := range map[string]func(g *gate){
		"their time is over": func(g *gate) {
			for v := range g.asking.All() {
				v.deadline = time.Time{}
			}
			g.sweep()
		},
		"the node goes away": (*gate).cut,
	} {
		t.Run(name, func(t *testing.T) {
			const size = 3 * sweepMost
			h := open(t, func(c *config.Config) {
				c.Loops = 1
				c.Memory.Limit = 1 << 30
				c.Connection.HandshakeTimeout = time.Hour
			})
			for range size {
				h.dial(broker.TransportWS)
			}
			g := h.gates[0]
			h.eventually("all are in the door", func() bool { return g.visitors.Load() == size })
			left, goesOn := 0, false
			g.room.Call(context.Background(), func() {
				end(g)
				left, goesOn = g.inside, !g.due.IsZero()
			})
			if left < size-sweepMost || left == size || !goesOn {
				t.Errorf("%d of %d are left, and it goes on = %v", left, size, goesOn)
			}
			h.eventually("nobody is left", func() bool { return g.visitors.Load() == 0 })
		})
	}
}
