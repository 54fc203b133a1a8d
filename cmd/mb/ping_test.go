package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"mbserver/client/clienttest"
)

func TestPing(t *testing.T) {
	n := newNode(t)
	text := start(t, "", "ping", "-n", "3", "-i", "1ms").wait(exitOK).stdout.String()
	want := regexp.MustCompile(`^(tcp://\S+: seq=[123] time=[\d.]+ [µm]?s\n){3}\n` +
		`tcp://\S+: 3 sent, 3 answered, 0 % lost, in \d+ms\n` +
		`min [\d.]+ \S+, mean .+, max .+, p50 .+, p90 .+, p99 .+, p99.9 .+\n$`)
	if !want.MatchString(text) {
		t.Errorf("printed %q", text)
	}
	lines := start(t, "", "ping", "-n", "2", "-i", "0s", "--json",
		"--server", "ws://"+n.Addr("ws")).wait(exitOK).stdout.lines()
	var one struct {
		Seq int
		Ms  float64
	}
	var all struct{ Sent, Answered, MinMs, P999Ms, MaxMs float64 }
	if len(lines) != 3 || json.Unmarshal([]byte(lines[1]), &one) != nil ||
		json.Unmarshal([]byte(strings.Replace(lines[2], "p99.9Ms", "p999Ms", 1)), &all) != nil {
		t.Fatalf("printed %q", lines)
	}
	if one.Seq != 2 || one.Ms <= 0 || all.Sent != 2 || all.Answered != 2 ||
		!(0 < all.MinMs && all.MinMs <= all.P999Ms && all.P999Ms <= all.MaxMs) {
		t.Errorf("one %+v, all %+v", one, all)
	}
	lines = start(t, "", "ping", "-n", "20", "-i", "0s", "-q").wait(exitOK).stdout.lines()
	if len(lines) != 3 || !strings.Contains(lines[1], "20 sent, 20 answered") {
		t.Errorf("quiet, printed %q", lines)
	}
}

// A node that is away costs answers, not the work: it is tried again with the next heartbeat.
func TestPingAway(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "ping", "-i", "1ms")
	eventually(t, "an answer", func() bool { return i.stdout.String() != "" })
	b.StopListening()
	b.Disconnect()
	eventually(t, "it is away", func() bool {
		return strings.Contains(i.stderr.String(), "refused")
	})
	before := len(i.stdout.String())
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer again", func() bool { return len(i.stdout.String()) > before })
	i.stop()
	i.wait(exitOK)
	if text := i.stdout.String(); !strings.Contains(text, " lost, in ") ||
		strings.Contains(text, " 0 % lost") {
		t.Errorf("no loss is told: %q", text)
	}
	b.StopListening()
	b.Disconnect()
	i = start(t, "", "ping", "-n", "2", "-i", "1ms").wait(exitError).wantErr("seq=1", "seq=2")
	if text := i.stdout.String(); !strings.Contains(text, "2 sent, 0 answered, 100 % lost") {
		t.Errorf("printed %q", text)
	}
	start(t, "", "ping", "-n", "1", "--json").wait(exitError)
	start(t, "", "ping", "-n", "-1").wait(exitUsage)
	start(t, "", "ping", "-i", "-1s").wait(exitUsage)
	start(t, "", "ping", "--timeout", "0s").wait(exitUsage)
}
