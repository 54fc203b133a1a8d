package broker

import (
	"context"
	"testing"
	"time"

	"mbserver/server/system"
)

// Who asked is gone when it stops: what waits is not composed, and a job that takes too long is
// left behind.
func TestBackgroundStops(t *testing.T) {
	var d background
	d.init(nil)
	d.start()
	entered, release, did := make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	run := func(f func()) bool {
		return d.run(job{
			from: new(service),
			work: func() func(system.Caller) *system.Error { f(); return nil },
			then: func(func(system.Caller) *system.Error) {},
		})
	}
	run(func() {
		close(entered)
		<-release
	})
	<-entered
	run(func() { did <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.stop(ctx)
	select {
	case <-d.ended:
		t.Error("it has ended in the middle of a job")
	default:
	}
	if !run(func() {}) {
		t.Error("a loop that still runs is refused") // nobody answers it, nothing breaks
	}
	close(release)
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	d.stop(ctx)
	if ctx.Err() != nil || len(did) > 0 {
		t.Errorf("%v, %d jobs were done that waited", ctx.Err(), len(did))
	}
}
