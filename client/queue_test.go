package client

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"mbserver/client/clienttest"
)

// A callback that is merely slow loses nothing to calls that wait meanwhile; one
// that does not end before such a call has its answer does.
func TestStallPatience(t *testing.T) {
	const count = 60
	for _, c := range []struct {
		callback time.Duration
		loses    bool
	}{{stallPatience - time.Millisecond, false}, {stallPatience + time.Millisecond, true}} {
		synctest.Test(t, func(t *testing.T) {
			var lost uint64
			q := newQueue(4*itemCost, func(g Gap) { lost += g.Count }, nil, nil)
			var seen uint64
			slow := func(Message) {
				seen++
				time.Sleep(c.callback)
			}
			r := &route{topic: "a", subs: []*Subscription{{message: slow}}}
			q.waiting(1)
			go q.run()
			begun := time.Now()
			for range count {
				q.message(nil, steady, r, nil, nil)
			}
			if took := time.Since(begun); c.loses == (took > stallPatience) {
				t.Errorf("callbacks of %v kept the reader for %v", c.callback, took)
			}
			time.Sleep(time.Hour) // synthetic
			q.end(false)
			synctest.Wait()
			if seen+lost != count || c.loses != (lost > 0) {
				t.Errorf("callbacks of %v: %d seen, %d lost of %d", c.callback, seen, lost, count)
			}
		})
	}
}

// However many errors wait, the hooks of the connection, of gaps and of flow are
// called; of several changes that nobody could be told, the last.
func TestErrorsCrowdNothingOut(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	seen := 0
	var j journal
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), fastReconnect(),
		OnError(func(*Error) {
			if seen++; seen == 1 {
				close(entered)
				<-release
			}
		}),
		OnGap(func(g Gap) { j.add(fmt.Sprint("gap ", g.Count, g.Local)) }),
		OnFlow(func(f Flow) { j.add("flow " + f.State) }),
		OnDisconnect(func(err error) {
			if !errors.Is(err, ErrDisconnected) {
				t.Errorf("OnDisconnect(%v)", err)
			}
			j.add("disconnect")
		}),
		OnReconnect(func(r Renewal) { j.add("reconnect " + r.ServiceID) }))
	ctx := testContext(t)
	for i := range maxErrors + 100 {
		if err := c.Publish(ctx, "no.body", nil); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			receive(t, "hook", entered)
		}
	}
	if err := c.Ping(ctx); err != nil { // Their errors are here.
		t.Fatal(err)
	}
	conn := b.Conns()[0]
	conn.Send("publish:system.dropped:1.0.0", []byte(`{"count":7}`))
	conn.Send("publish:system.flow:1.0.0", []byte(`{"state":"paused"}`))
	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		before := c.ServiceID()
		b.Disconnect()
		eventually(t, "another connection", func() bool {
			return c.Connected() && c.ServiceID() != before
		})
	}
	close(release)
	if err := c.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{"gap 7 false", "flow paused", "disconnect", "reconnect " + b.Conns()[0].ID}
	if got := j.all(); !reflect.DeepEqual(got, want) {
		t.Errorf("the hooks were told %v, want %v", got, want)
	}
}

// What is dropped while the reader must not wait is told: messages, and notices
// of the broker about messages.
func TestDroppedNoticesAreTold(t *testing.T) {
	var told []Gap
	var events uint64
	q := newQueue(itemCost, func(g Gap) { told = append(told, g) },
		func(n uint64) { events += n }, nil)
	r := &route{topic: "a", subs: []*Subscription{{message: func(Message) {}}}}
	since, until := time.Now().Add(-time.Hour), time.Now()
	q.message(nil, renewing, r, nil, nil) // fits
	q.notice(nil, true, &Gap{Count: 5, Conflated: 3, Since: since, Until: until}, nil)
	q.message(nil, renewing, r, nil, nil)
	q.notice(nil, true, nil, func() { t.Error("it does not fit") })
	q.end(false)
	q.run()
	if len(told) != 1 || told[0].Count != 6 || told[0].Conflated != 3 || !told[0].Local ||
		!told[0].Since.Equal(since) || told[0].Until.Before(until) || events != 1 {
		t.Errorf("told %+v and %d events", told, events)
	}
}

// A queue that is worked off before more comes uses one set of buffers.
func TestQueueKeepsToOneBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(1<<20, nil, nil, nil)
		seen := 0
		r := &route{topic: "a", subs: []*Subscription{{message: func(Message) { seen++ }}}}
		go q.run()
		for range 300 {
			// One at a time: after the first of several it may be awake before the second comes.
			q.message(nil, steady, r, nil, make([]byte, 100))
			synctest.Wait() // It sleeps.
		}
		q.end(false)
		synctest.Wait()
		if least := min(cap(q.arena), cap(q.workArena)); seen != 300 || least > 0 {
			t.Errorf("%d of 300 messages, the second buffer has %d bytes", seen, least)
		}
	})
}

// Messages and requests on one topic, of versions that change from one to the
// next, keep theirs, however many wait.
func TestEachMessageHasItsVersion(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"))
	ctx := testContext(t)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	var got []string
	if _, err := c.Subscribe(ctx, "a", func(m Message) {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-release
		got = append(got, m.Version)
	}); err != nil {
		t.Fatal(err)
	}
	served := make(chan string, 4)
	if _, err := c.Handle(ctx, "b", func(_ context.Context, r Request) ([]byte, error) {
		served <- r.Version
		return nil, nil
	}, WithConcurrency(1)); err != nil {
		t.Fatal(err)
	}
	conn := b.Conns()[0]
	versions := []string{"1.0.0", "2.0.0", "2.0.0", "1.0.0"}
	for _, v := range versions {
		conn.Send("publish:a:"+v, nil)
		conn.Send("request:b:"+v+":00000000-0000-4000-8000-000000000000", nil)
	}
	receive(t, "the first", entered)
	if err := c.Ping(ctx); err != nil { // The others wait.
		t.Fatal(err)
	}
	close(release)
	if err := c.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, versions) {
		t.Errorf("published %v, received %v", versions, got)
	}
	for i, want := range versions {
		if v := receive(t, "a request", served); v != want {
			t.Errorf("request %d: %s, want %s", i, v, want)
		}
	}
}
