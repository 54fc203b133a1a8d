//go:build linux

package bench

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// shaking is how many handshakes are under way at the same time.
const shaking = 8

// handshakes measures connections over TLS, each from its beginning to the welcome. A handshake
// costs the generator more than the server: it has a core of its own, but the rate is the
// generator's; what the server could do is a second, divided by its CPU time for each.
func (t *try) handshakes() error {
	failed := make(chan error, shaking)
	cpu, load, began := t.server.cpu(), processCPU(), time.Now()
	var working sync.WaitGroup
	for i := range shaking {
		working.Go(func() {
			for n := i; n < t.s.clients && t.loop.ctx.Err() == nil; n += shaking {
				c, err := dial(t.at, t.wire, idler, "bench.handshake", n, minPayload)
				if err != nil {
					failed <- fmt.Errorf("connection %d: %w", n+1, err)
					return
				}
				c.close()
			}
		})
	}
	working.Wait()
	took := time.Since(began)
	select {
	case err := <-failed:
		return err
	default:
	}
	if err := t.loop.ctx.Err(); err != nil {
		return err
	}
	n := float64(t.s.clients)
	if t.server.pid != 0 {
		t.figure(metricCPU, "ns", false, float64(t.server.cpu()-cpu)/n)
	}
	t.figure(metricAccept, "/s", true, n/took.Seconds())
	t.figure(metricLoad, "ns", false, float64(processCPU()-load)/n)
	t.memory()
	return nil
}

// processCPU is the CPU time of this process in ns, of all its threads.
func processCPU() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
