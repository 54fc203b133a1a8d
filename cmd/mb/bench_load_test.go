package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

func TestBenchLoad(t *testing.T) {
	newNode(t)
	i := start(t, "", "bench", "--publishers", "2", "--subscribers", "3", "--rate", "2000",
		"--duration", "100ms", "--payload", "64").wait(exitOK).wantErr("clients' figures", "--pid")
	want := regexp.MustCompile(`^tcp://\S+: 2 publishers, 3 subscribers, 64 B each, \d+ms\n` +
		`published +200 +\S.*/s\ndelivered +600 +\S.*/s\nlost +0 +0 %\n` +
		`latency +min .*, p50 .*, p99.9 .*, max .*\n$`)
	if text := i.stdout.String(); !want.MatchString(text) {
		t.Errorf("printed %q", text)
	}
	var r struct {
		Published, Delivered, Dropped, Missing, Refused int
		MinMs, MaxMs                                    float64
	}
	i = start(t, "", "bench", "--publishers", "1", "--duration", "20ms", "--ack", "--json", "-q").
		wait(exitOK).wantErr("")
	if err := json.Unmarshal([]byte(i.stdout.String()), &r); err != nil {
		t.Fatal(err)
	}
	if r.Published == 0 || r.Delivered+r.Dropped+r.Missing != r.Published || r.Refused != 0 ||
		r.MinMs <= 0 || r.MaxMs < r.MinMs {
		t.Errorf("%+v", r)
	}
	start(t, "", "bench", "--subscribers", "0", "--rate", "1000", "--duration", "10ms").
		wait(exitError).wantErr("10 of 10 messages were refused, the first with NO_ROUTE_FOUND")
}

// What the node drops for a slow subscriber is told as lost.
func TestBenchLoadLosses(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "bench", "--publishers", "1", "--subscribers", "2", "--rate", "100",
		"--duration", "100ms", "--topic", "a.b", "--json")
	conn := subscribed(t, b, "publish a.b")
	conn.Send("publish:system.dropped:1.0.0", []byte(`{"count":7}`))
	var r struct{ Dropped int }
	text := i.wait(exitOK).stdout.String()
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Dropped != 7 {
		t.Errorf("%v, printed %q", err, text)
	}
}

func TestBenchLoadInterrupted(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "bench", "--publishers", "1", "--rate", "1000", "--duration", "1h")
	eventually(t, "publisher and subscriber", func() bool { return len(b.Conns()) == 2 })
	eventually(t, "a publish", func() bool { return b.Received(codec.Publish) > 0 })
	i.stop()
	i.wait(exitInterrupted).wantErr("interrupted", " of 1h0m0s")
	if text := i.stdout.String(); !strings.Contains(text, "delivered") {
		t.Errorf("what it came to is not told: %q", text)
	}
}

func TestBenchLoadUsage(t *testing.T) {
	newBroker(t, clienttest.Options{})
	for _, args := range []string{
		"--publishers 0", "--subscribers -1", "--publishers 1 --rate -1",
		"--publishers 1 --payload 15", "--publishers 1 --payload 16,32",
		"--publishers 1 --duration 0s", "--publishers 1 fan-out", "--publishers 1 --repeat 3",
		"--publishers 1 --pid 7", "--rate 5", "--ack", "--topic a",
	} {
		start(t, "", append([]string{"bench"}, strings.Fields(args)...)...).
			wait(exitUsage).wantOut("")
	}
	start(t, "", "bench", "--publishers", "1", "--topic", "a.+", "--subscribers", "0").
		wait(exitError).wantErr("wildcards")
	start(t, "", "bench", "--publishers", "1", "--server", "tcp://127.0.0.1:1").
		wait(exitError).wantErr("subscriber 1: ", "refused")
}
