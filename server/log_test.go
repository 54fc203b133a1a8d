package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mbserver/server/config"
	"mbserver/server/metrics"
)

// logged takes the next log line with the message.
func (c *liveClient) logged(message string) map[string]any {
	c.t.Helper()
	return c.await("the line "+message, func(m wireMessage) bool {
		return m.header == "response:system.log:1.0.0" && m.object(c.t)["message"] == message
	}).object(c.t)
}

// lines returns the messages of the log lines that have come.
func (c *liveClient) lines(n *lineNode) []string {
	c.t.Helper()
	n.flush()
	c.settle()
	var got []string
	kept := c.backlog[:0]
	for _, m := range c.backlog {
		if m.header == "response:system.log:1.0.0" {
			s, _ := m.object(c.t)["message"].(string)
			got = append(got, s)
		} else {
			kept = append(kept, m)
		}
	}
	c.backlog = kept
	return got
}

// lineNode logs through a node as the node itself does.
type lineNode struct {
	*liveNode
	watcher *liveClient // gets the marker of flush
}

// marker is a line after which everything logged before has been handed to the loops: the lines are
// handed over in order.
const marker = "everything before this line is out"

func startLineNode(t *testing.T, change func(*config.Config)) *lineNode {
	n := &lineNode{liveNode: startLiveNode(t, change)}
	n.watcher = n.dial()
	n.watcher.ok("system.log.subscribe", `{"regex":"^`+marker+`"}`)
	return n
}

// flush returns when every line logged so far is written and has been handed to the loops.
func (n *lineNode) flush() {
	n.t.Helper()
	seen := strings.Count(n.out.String(), marker)
	n.log.Error(marker)
	n.watcher.logged(marker)
	eventually(n.t, "the marker is written", func() bool {
		return strings.Count(n.out.String(), marker) > seen
	})
}

func (n *lineNode) all(messages ...string) {
	for _, m := range messages {
		n.log.Debug(m + " debug")
		n.log.Info(m + " info")
		n.log.Warn(m + " warn")
		n.log.Error(m + " error")
	}
}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	var plain []string
	for _, m := range got {
		if strings.HasPrefix(m, "one ") || strings.HasPrefix(m, "two ") {
			plain = append(plain, m)
		}
	}
	if strings.Join(plain, ",") != strings.Join(want, ",") {
		t.Errorf("%s: got %q, want %q", what, plain, want)
	}
}

func TestLogLevelsRegexAndReplacing(t *testing.T) {
	n := startLineNode(t, nil)
	a, b := n.dial(), n.dial()
	for _, row := range []struct {
		payload string
		want    []string
	}{
		{``, []string{"one error", "two error"}},
		{`{"levels":["debug"]}`, []string{"one debug", "two debug"}},
		{`{"levels":["warn","info","warn"]}`,
			[]string{"one info", "one warn", "two info", "two warn"}},
		{`{"levels":["debug","info","warn","error"],"regex":"^t.o "}`,
			[]string{"two debug", "two info", "two warn", "two error"}},
		{`{"regex":"(?i)ONE"}`, []string{"one error"}},
		{`{"levels":[]}`, nil},
	} {
		for _, c := range []*liveClient{a, b} { // each replaces the one before
			c.ok("system.log.subscribe", row.payload)
		}
		n.all("one", "two")
		wantLines(t, row.payload, a.lines(n), row.want...)
		wantLines(t, row.payload, b.lines(n), row.want...)
	}
	a.ok("system.log.subscribe", `{"levels":["info"]}`)
	b.ok("system.log.unsubscribe", "")
	b.ok("system.log.unsubscribe", `{}`)
	n.all("one")
	wantLines(t, "another's subscription", a.lines(n), "one info")
	wantLines(t, "unsubscribed", b.lines(n))
}

func TestLogBadFields(t *testing.T) {
	n := startLiveNode(t, nil)
	c := n.dial()
	for payload, field := range map[string]string{
		`{"levels":["fatal"]}`: "levels", `{"levels":["INFO"]}`: "levels",
		`{"levels":"info"}`: "levels", `{"levels":[null]}`: "levels",
		`{"levels":[1]}`: "levels", `{"levels":{}}`: "levels", `{"levels":null}`: "levels",
		`{"regex":null}`: "regex",
		`{"regex":"("}`:  "regex", `{"regex":"(a)\\1"}`: "regex", `{"regex":7}`: "regex",
		`{"regex":"` + strings.Repeat("x", 1025) + `"}`:  "regex",
		`{"regex":"(a{40}){51}"}`:                        "regex",
		`{"regex":"(?i)` + strings.Repeat("(", 2) + `"}`: "regex",
	} {
		e := c.refused("system.log.subscribe", payload, "INVALID_REQUEST")
		if d, _ := e["details"].(map[string]any); d["field"] != field {
			t.Errorf("%s: %v, want field %s", payload, e, field)
		}
	}
	if n.log.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("a refused subscription is in force")
	}
}

// A subscription to the topic brings errors; with a filter beside it that one decides, and there is
// one copy.
func TestLogTopicSubscription(t *testing.T) {
	n := startLineNode(t, nil)
	c := n.dial()
	c.subscribe("both", "system.log")
	n.all("one")
	wantLines(t, "the topic", c.lines(n), "one error")
	c.ok("system.log.subscribe", `{"levels":["warn","error"]}`)
	n.all("one")
	wantLines(t, "topic and filter", c.lines(n), "one warn", "one error")
	c.ok("system.log.unsubscribe", "")
	n.all("one")
	wantLines(t, "the topic again", c.lines(n), "one error")
	c.ok("system.log.subscribe", `{"levels":["info"]}`)
	c.ok("system.topic.unsubscribe", `{"topic":"System.Log"}`)
	n.all("two")
	wantLines(t, "the filter alone", c.lines(n), "two info")
}

// The tap follows the lowest level that anybody wants, and ends with the last listener.
func TestLogTapFollowsInterest(t *testing.T) {
	n := startLiveNode(t, nil)
	ctx := context.Background()
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	enabled := func() string {
		var b strings.Builder
		for _, level := range levels {
			if n.log.Enabled(ctx, level) {
				b.WriteString(strings.ToLower(level.String()) + " ")
			}
		}
		return b.String()
	}
	c, other := n.dial(), n.dial()
	if got := enabled(); got != "info warn error " {
		t.Errorf("before: %s", got)
	}
	c.ok("system.log.subscribe", `{"levels":["error","debug"]}`)
	other.subscribe("publish", "system.log")
	if got := enabled(); got != "debug info warn error " {
		t.Errorf("with debug: %s", got)
	}
	_ = c.conn.Close()
	eventually(t, "nobody wants debug", func() bool { return enabled() == "info warn error " })
}

func TestLogLineForm(t *testing.T) {
	n := startLiveNode(t, nil)
	c := n.dial()
	c.ok("system.log.subscribe", `{"levels":["warn"]}`)
	n.log.Warn("two\nlines", "module", "door", "count", 3, "level", "mine", "list", []int{1})
	o := c.logged("two\nlines")
	stamp, _ := o["timestamp"].(string)
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", stamp); err != nil {
		t.Error(err)
	}
	delete(o, "timestamp")
	got, _ := json.Marshal(o)
	want := `{"count":3,"level":"warn","level_":"mine","list":[1],` +
		`"message":"two\nlines","module":"door"}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	n.log.Warn("no module")
	if o := c.logged("no module"); o["module"] != "node" {
		t.Errorf("module %v", o["module"])
	}
}

// A listener that does not read loses lines: it is told how many, nobody else waits, and the loss
// makes no line.
func TestLogSlowListener(t *testing.T) {
	n := startLineNode(t, func(cfg *config.Config) {
		cfg.Connection.OutboundBytes = 256 << 10
	})
	slow, quick := n.dial(), n.dial()
	slow.ok("system.log.subscribe",
		`{"levels":["debug","info","warn","error"],"regex":"^(fill|slow|closed)"}`)
	fill := strings.Repeat("x", 16<<10)
	dropped := func() uint64 { return n.broker.Sample(time.Now()).Totals[metrics.Dropped] }
	sent := 0
	eventually(t, "lines are dropped", func() bool {
		for range 50 {
			n.log.Debug("fill", "with", fill)
			sent++
		}
		n.flush()
		quick.settle()
		return dropped() > 0
	})
	if strings.Contains(n.out.String(), "slow subscriber") {
		t.Error("the loss of a log line made a line")
	}
	got := 0
	gap := slow.await("the gap notice", func(m wireMessage) bool {
		if m.header == "response:system.log:1.0.0" {
			got++
			if m.object(t)["message"] != "fill" {
				t.Errorf("got the line %.100s", m.payload)
			}
		}
		return m.header == "publish:system.dropped:1.0.0"
	}).object(t)
	if count, _ := gap["count"].(float64); int(count)+got != sent-int(n.logs.TapDropped()) {
		t.Errorf("%d lines came and %v were told as dropped, of %d", got, gap["count"], sent)
	}
}

// What a client can repeat at will does not flood the log: a registration that changes nothing is
// at debug, and of those that do only some are logged.
func TestLogRegistrations(t *testing.T) {
	n := startLineNode(t, nil)
	c := n.dial()
	const each, second = 200, 20 // of the changes, so many in a second
	c.ok("system.service.register", `{"name":"a","description":"d"}`)
	for range each {
		c.ok("system.service.register", `{"name":"a","description":"d"}`)
	}
	n.flush()
	lines := func() int { return strings.Count(n.out.String(), `"registered: `) }
	if got := lines(); got != 1 {
		t.Errorf("%d lines of %d equal registrations, want 1", got, each+1)
	}
	began := time.Now()
	for i := range each {
		c.ok("system.service.register", fmt.Sprintf(`{"name":"b%d","description":"d"}`, i))
	}
	n.flush()
	most := second * (2 + int(time.Since(began).Seconds()))
	got := lines() - 1
	if got < second || got > most {
		t.Errorf("%d lines of %d changes, want at most %d", got, each, most)
	}
}

// An expression that is expensive to match costs its own reader lines, of which it is told, and the
// log's output nothing.
func TestLogExpensiveExpression(t *testing.T) {
	n := startLineNode(t, nil)
	c := n.dial()
	c.ok("system.log.subscribe", `{"levels":["debug"],"regex":"^(x*x*x*x*x*x*)*y$"}`)
	text := strings.Repeat("x", 2000)
	const info = 100
	lines := 0
	eventually(t, "the tap is too slow", func() bool {
		for range 1000 {
			n.log.Debug(text)
		}
		if lines < info {
			lines++
			n.log.Info("output line")
		}
		return lines == info && n.logs.TapDropped() > 0
	})
	told := c.logged("log lines left out: their readers' expressions are too slow")
	if count, _ := told["count"].(float64); count <= 0 || told["level"] != "warn" {
		t.Errorf("told %v", told)
	}
	eventually(t, "all is written", func() bool {
		return strings.Count(n.out.String(), "output line") == info
	})
	if d := n.logs.Dropped(); d != 0 {
		t.Errorf("%d lines of the output are lost", d)
	}
}
