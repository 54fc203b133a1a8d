package client

import (
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
				q.message(nil, false, r, "1.0.0", nil, nil)
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
	q.message(nil, true, r, "1.0.0", nil, nil) // fits
	q.notice(nil, true, &Gap{Count: 5, Conflated: 3, Since: since, Until: until}, nil)
	q.message(nil, true, r, "1.0.0", nil, nil)
	q.notice(nil, true, nil, func() { t.Error("it does not fit") })
	q.end(false)
	q.run()
	if len(told) != 1 || told[0].Count != 6 || told[0].Conflated != 3 || !told[0].Local ||
		!told[0].Since.Equal(since) || told[0].Until.Before(until) || events != 1 {
		t.Errorf("told %+v and %d events", told, events)
	}
}
