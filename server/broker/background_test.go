package broker

import (
	"context"
	"testing"
	"time"
)

// Who asked is gone when it stops: what waits is not composed, and a job that takes too long is
// left behind.
func TestBackgroundStops(t *testing.T) {
	var d background
	d.start()
	entered, release, did := make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	d.run(func() {
		close(entered)
		<-release
	})
	<-entered
	d.run(func() { did <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.stop(ctx)
	select {
	case <-d.done:
		t.Error("it has ended in the middle of a job")
	default:
	}
	if !d.run(func() {}) {
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
