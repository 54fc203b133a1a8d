package reactor

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// A loop that nudges itself without end looks at its sockets and does what others ask in between.
// One that has stopped is not nudged.
func TestNudge(t *testing.T) {
	b, g, stop := start(t, 1)
	r := g.At(b.Loops()[0])
	fd, peer := pair(t)
	var nudges atomic.Int64
	waits := &guest{fd: fd, told: make(chan string, 1)}
	r.Call(context.Background(), func() {
		if err := r.Watch(fd, waits); err != nil {
			t.Error(err)
		}
		r.Attend(func() {
			nudges.Add(1)
			r.Nudge()
		})
	})
	if !r.Nudge() {
		t.Fatal("it has stopped")
	}
	for range 10 {
		if _, err := peer.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-waits.told:
		case <-time.After(patience):
			t.Fatal("it does not look at its sockets")
		}
	}
	r.Call(context.Background(), func() {
		r.Attend(nil)
		r.Close(fd)
	})
	if nudges.Load() < 2 {
		t.Errorf("nudged %d times", nudges.Load())
	}
	stop()
	if r.Nudge() {
		t.Error("a loop that has stopped is nudged")
	}
}
