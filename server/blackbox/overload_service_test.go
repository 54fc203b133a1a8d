package blackbox

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Fifteen requesters without ID ask one service of another loop as fast as they can. What waits for
// it is bounded, its loop goes on answering others, and newcomers get in.
func TestOverload_RequestsToOneService(t *testing.T) { // alone: it takes all the CPU there is
	const limit = 256 << 20
	n := startNode(t, "loops=2", "memory.limit=268435456",
		"logging.level=error")
	service := n.dial(t, overTCP)
	service.subscribe("request", "one.service")
	go func() { // it reads, and answers nobody
		for {
			if _, err := service.peer.Recv(time.Now().Add(patience)); err != nil {
				return
			}
		}
	}()
	var probes []*client
	for i := range 4 {
		probes = append(probes, n.dial(t, transports[i%2]))
	}
	stop := make(chan struct{})
	var crowd sync.WaitGroup
	var batch []byte
	for range 64 {
		batch = appendFrame(batch, []byte("request:one.service:1.0.0\nplease"))
	}
	for range 15 {
		p, err := n.connect(overTCP)
		if err != nil {
			t.Fatal(err)
		}
		tcp := p.(*tcpPeer)
		crowd.Go(func() {
			for {
				select {
				case <-stop:
					_ = abort(p)
					return
				default:
					if tcp.write(batch) != nil {
						return
					}
				}
			}
		})
	}
	slowest, trips := time.Duration(0), 0
	for start := time.Now(); time.Since(start) < 3*time.Second; trips++ {
		for _, k := range append(probes, n.dial(t, overTCP)) {
			began := time.Now()
			id := uuid.NewString()
			k.send("request:system.heartbeat:1.0.0:"+id, "{}")
			k.await("its heartbeat", func(m message) bool { return m.ID == id })
			slowest = max(slowest, time.Since(began))
		}
	}
	close(stop)
	crowd.Wait()
	peak := n.peakResident()
	t.Logf("%d rounds, the slowest heartbeat took %v, peak %d MiB", trips, slowest, peak>>20)
	if peak > limit && !raceEnabled {
		t.Errorf("resident memory came to %d MiB of %d", peak>>20, limit>>20)
	}
	if trips < 3 {
		t.Errorf("only %d rounds of heartbeats and newcomers", trips)
	}
	eventually(t, "all of it ends", func() bool {
		return n.counter(t, "mb_requests_outstanding") == 0
	})
}
