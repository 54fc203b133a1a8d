package blackbox

import (
	"fmt"
	"strings"
	"testing"
)

// Pongs are answers, too: who pings without reading them is slowed, and gets each of them when it
// reads on; who never does is closed. Others notice nothing.
func TestS9_PongsSlowTheirReader(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{true, false} {
		t.Run(fmt.Sprintf("reads=%v", reads), func(t *testing.T) {
			t.Parallel()
			settings := owingSettings
			if !reads {
				settings = append(settings[:len(settings):len(settings)],
					"connection.stallTimeout=300")
			}
			n := startNode(t, settings...)
			other := n.dial(t, overWS)
			other.subscribe("publish", "ping.other")
			r := dialRawWSBy(t, narrowDialer(), n)
			const count = 20_000
			filling := strings.Repeat("p", 90)
			payload := func(i int) string { return fmt.Sprint(i, filling) }
			sent := make(chan error, 1)
			go func() {
				var err error
				for i := 0; i < count && err == nil; i++ {
					_, err = r.conn.Write(wsFrame(fin|opPing, []byte(payload(i))))
				}
				sent <- err
			}()
			slowed := "mb_connections_owing"
			if !reads {
				slowed = "mb_connections_stalled_total"
			}
			eventually(t, slowed, func() bool {
				other.ok("system.heartbeat", "{}")
				return n.counter(t, slowed) == 1
			})
			other.send("publish:ping.other:1.0.0", "still here")
			other.expectPayload("publish:ping.other:1.0.0:*", "still here")
			if !reads {
				if err := <-sent; err == nil {
					t.Log("its own system took all")
				}
				if !strings.Contains(n.out.String(), "connection.stallTimeout") {
					t.Error("the log does not name the key")
				}
				eventually(t, "it is gone", func() bool {
					return n.counter(t, "mb_connections") == 1
				})
				return
			}
			for i := range count {
				if op, p := r.frame(); op != opPong || string(p) != payload(i) {
					t.Fatalf("pong %d: opcode %d, %q", i, op, p)
				}
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
			if got := n.counter(t, "mb_connections_owing"); got != 0 {
				t.Errorf("%d connections are not read", got)
			}
		})
	}
}
