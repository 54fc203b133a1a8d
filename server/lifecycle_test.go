package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"mbserver/server/config"
	"mbserver/server/metrics"
)

// shutdown ends a node within the time, and says how.
func (n *liveNode) shutdown(within time.Duration) error {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Shutdown(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(within + livePatience):
		n.t.Fatal("Shutdown does not return")
		return nil
	}
}

// wantEnd reads what is left for the client, and holds that the node ended the stream.
func (c *liveClient) wantEnd() {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(livePatience))
	if _, err := io.Copy(io.Discard, c.conn); err != nil {
		c.t.Errorf("the end is %v, want that of the stream", err)
	}
	_ = c.conn.Close()
}

// A loop that is busy keeps the node no longer than it may, nor the other loop's connections from
// being told.
func TestShutdownWithABusyLoop(t *testing.T) {
	for busy := range 2 {
		t.Run(fmt.Sprint(busy), func(t *testing.T) {
			t.Parallel() // It waits most of the time.
			n := startLiveNode(t, withAdmin)
			clients := []*liveClient{n.dial(), n.dial()} // one on each loop
			release := make(chan struct{})
			entered := make(chan struct{})
			room := n.reactors.At(n.broker.Loops()[busy])
			room.Do(func() {
				close(entered)
				<-release
			})
			<-entered
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				clients[1-busy].wantEnd()
			}()
			err := n.shutdown(500 * time.Millisecond)
			if err == nil || !errors.Is(err, context.DeadlineExceeded) ||
				!strings.Contains(err.Error(), "busy") ||
				!strings.Contains(err.Error(), "1 connections were cut") {
				t.Errorf("loop %d is busy: %v", busy, err)
			}
			<-ended
			close(release)
			if err := n.reactors.Stop(context.Background()); err != nil {
				t.Error(err)
			}
			clients[busy].wantEnd()
		})
	}
}

// A request that nobody answers is failed at its own deadline, and the node ends then.
func TestShutdownAwaitsADeadline(t *testing.T) {
	n := startLiveNode(t, nil)
	asker, service := n.dial(), n.dial()
	service.subscribe("request", "never.answered")
	asker.send("request:never.answered:1.0.0:00000000-0000-4000-8000-000000000001::100", "")
	service.awaitTopic("request:never.answered")
	done := make(chan error, 1)
	go func() { done <- n.shutdown(10 * livePatience) }()
	if m := asker.awaitTopic("response:never.answered"); !strings.Contains(
		string(m.payload), `"TIMEOUT"`) {
		t.Errorf("answered %s", m.payload)
	}
	asker.wantEnd()
	service.wantEnd()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(livePatience):
		t.Fatal("the node does not end")
	}
}

// One whose deadline is far is failed when the time is over, wherever it is. Everybody is told, and
// counts as cut.
func TestShutdownFailsWhatIsOutstanding(t *testing.T) {
	n := startLiveNode(t, func(cfg *config.Config) { cfg.Max.OutstandingPerService = 1 })
	const askers = 6 // on both loops; one request is delivered, the others wait
	service := n.dial()
	service.subscribe("request", "never.answered")
	ended := make(chan string, askers)
	for range askers {
		c := n.dial()
		c.send("request:never.answered:1.0.0:00000000-0000-4000-8000-000000000001::60000", "")
		go func() {
			m := c.awaitTopic("response:never.answered")
			c.wantEnd()
			ended <- string(m.payload)
		}()
	}
	eventually(t, "all are outstanding", func() bool {
		s := n.broker.Sample(time.Now())
		return s.Outstanding == askers && s.Queued == askers-1
	})
	service.awaitTopic("request:never.answered")
	var all sync.WaitGroup
	all.Go(service.wantEnd)
	err := n.shutdown(200 * time.Millisecond)
	if want := fmt.Sprint(askers+1) + " connections were cut"; err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("want %s, but %v", want, err)
	}
	for range askers {
		if payload := <-ended; !strings.Contains(payload, `"SERVICE_UNAVAILABLE"`) ||
			!strings.Contains(payload, `"reason":"draining"`) {
			t.Errorf("answered %s", payload)
		}
	}
	all.Wait()
}

// Who has been told all and only does not close its side is not cut; who does not read is.
func TestShutdownCountsWhatIsCut(t *testing.T) {
	for _, row := range []struct {
		name   string
		within time.Duration
		stalls bool
		want   string
	}{
		{"a client that stays", time.Second, false, ""}, // longer than a busy machine stands still
		{"one that does not read", 300 * time.Millisecond, true, "1 connections were cut"},
		{"one that does not read for long", livePatience, true, "1 connections were cut"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel() // It waits most of the time.
			n := startLiveNode(t, func(cfg *config.Config) {
				cfg.Connection.OutboundBytes = 256 << 10
				cfg.Shutdown.Grace = 100 * time.Millisecond
			})
			c := n.dial()
			if row.stalls {
				c.subscribe("publish", "much")
				from := n.dial()
				payload := strings.Repeat("x", 16<<10)
				eventually(t, "its ring is full", func() bool {
					for range 16 {
						from.send("publish:much:1.0.0", payload)
					}
					from.settle()
					return n.broker.Sample(time.Now()).Totals[metrics.Dropped] > 0
				})
				_ = from.conn.Close()
			}
			err := n.shutdown(row.within)
			if row.want == "" && err != nil ||
				row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("Shutdown: %v, want %q", err, row.want)
			}
		})
	}
}

// A node whose time is over before it began to drain still says why.
func TestShutdownAtOnce(t *testing.T) {
	n := startLiveNode(t, nil)
	var all sync.WaitGroup
	for range 4 {
		all.Go(n.dial().wantEnd)
	}
	if err := n.shutdown(0); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	all.Wait()
}
