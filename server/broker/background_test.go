package broker

import (
	"context"
	"strings"
	"testing"
	"time"

	"mbserver/server/metrics"
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

// A panic beside the loops is counted, and whoever asked is told, once.
func TestFaultsBesideTheLoops(t *testing.T) {
	const failed = "INTERNAL_ERROR"
	for what, row := range map[string]struct {
		answer string
		ask    func(k *testClient, c *caller) *system.Error
	}{
		"a job": {failed, func(_ *testClient, c *caller) *system.Error {
			return c.InBackground(func() func(system.Caller) *system.Error { panic(1) })
		}},
		"what comes of a job": {failed, func(_ *testClient, c *caller) *system.Error {
			return c.InBackground(func() func(system.Caller) *system.Error {
				return func(system.Caller) *system.Error { panic(1) }
			})
		}},
		"a list": {failed, func(k *testClient, c *caller) *system.Error {
			err := c.AnswerShared(system.TopicsSnapshot)
			k.node.trie = nil // until it is composed
			return err
		}},
		"the time that a list took": {"success", func(k *testClient, c *caller) *system.Error {
			b := &k.node.background
			was, calls := b.now, 0
			b.now = func() time.Time {
				if calls++; calls == 5 { // two steps, the composing, and its end
					panic(1)
				}
				return was()
			}
			return c.AnswerShared(system.ServicesSnapshot)
		}},
	} {
		n := newTestNode(t, 1, 1, nil)
		k := n.connect(0, TransportTCP)
		n.settle()
		k.messages()
		c := &caller{c: k.Conn}
		c.h.Topic, c.h.Version = []byte("system.any"), []byte("1.0.0")
		c.h.RequestID = []byte(testRequestID)
		trie := n.trie
		if err := row.ask(k, c); err != nil {
			t.Fatal(err)
		}
		n.backgroundJob()
		n.trie = trie
		for n.backgroundJob() || n.drivers[0].scheduled {
			n.run(0)
		}
		if len(n.faults) != 1 || n.Sample(n.background.now()).Totals[metrics.Panics] != 1 {
			t.Errorf("%s: %d faults are logged, %d counted", what, len(n.faults),
				n.Sample(n.background.now()).Totals[metrics.Panics])
		}
		n.faults = nil
		n.settle()
		var got []string
		for _, m := range k.messages() {
			got = append(got, string(m.payload))
		}
		if len(got) != 1 || !strings.Contains(got[0], row.answer) {
			t.Errorf("%s: %q", what, got)
		}
	}
}
