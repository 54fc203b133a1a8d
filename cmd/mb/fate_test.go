package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mbserver/client"
)

// mb explain tells what would become of a message and, of one that was armed for, what did.
func TestExplainFates(t *testing.T) {
	n := newNode(t)
	run := func(code int, args ...string) *invocation {
		t.Helper()
		return start(t, "", append([]string{"explain"}, args...)...).wait(code)
	}
	if out := run(exitOK, "--topic", "a.b").stdout.String(); !strings.HasSuffix(out,
		"\n└─ unrouted\n") {
		t.Errorf("nobody is subscribed: %q", out)
	}
	c := dialNode(t, n, "news")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ids := make(chan string, 1)
	if _, err := c.Subscribe(ctx, "a.+", func(m client.Message) { ids <- m.ID() }); err != nil {
		t.Fatal(err)
	}
	way := "└─ " + c.ServiceID() + " by a.+\n     matched → delivered\n"
	if out := run(exitOK, "--topic", "A.b", "--bytes", "10").stdout.String(); !strings.HasSuffix(
		out, way) {
		t.Errorf("the dry run: %q", out)
	}
	run(exitOK, "--arm", "A.#", "--for", "1m").wantErr("looking at topics that match A.#")
	if err := c.Publish(ctx, "a.b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	id := <-ids
	out := run(exitOK, id).stdout.String()
	if !strings.HasPrefix(out, "accepted from "+c.ServiceID()+"  ") || !strings.HasSuffix(out,
		way) {
		t.Errorf("the message: %q", out)
	}
	var e explanation
	raw := run(exitOK, id, "--json").stdout.String()
	if err := json.Unmarshal([]byte(raw), &e); err != nil || !e.Found || len(e.Stops) != 3 {
		t.Errorf("as JSON: %q", raw)
	}
	const other = "6a1b2c3d-0000-4000-8000-000000000001"
	run(exitError, other).wantErr("nobody had armed for it")
	if out := run(exitError, other, "--json").stdout.String(); out !=
		`{"found":false,"stops":[]}`+"\n" {
		t.Errorf("of one that is not known: %q", out)
	}
	run(exitOK, "--arm-service", c.ServiceID(), "--for", "0").wantErr("no longer looking at ")
	for _, row := range [][2]string{
		{"", "say what"}, {"x", "no ID"}, {other + " --topic a", "one of these"},
		{"--arm a --topic a", "one of these"}, {"--arm a..b", "--arm: "},
		{"--topic a.#", "--topic: "},
		{"--arm-service x", "no ID"}, {"--arm a --for 11m", "10m"}, {"--topic a --for 1m", "--for"},
		{other + " --bytes 1", "--bytes goes with --topic"}, {"--topic a --bytes -1", "negative"},
		{"--topic a --action sub", "--action"}, {"--arm a --identity b", "--identity goes"},
	} {
		run(exitUsage, strings.Fields(row[0])...).wantErr(row[1])
	}
}

// The path of a message has a line for each way, and says when what happened.
func TestDrawFates(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	e := explanation{Found: true, Stops: []fateStop{
		{At: at(0), Stop: "accepted", ServiceID: "me"},
		{At: at(0), Stop: "matched", ServiceID: "one", Pattern: "a.#"},
		{At: at(0), Stop: "matched", ServiceID: "two", Pattern: "+.b"},
		{At: at(0), Stop: "queued", ServiceID: "two", Reason: "its connection is behind"},
		{At: at(0), Stop: "delivered", ServiceID: "one"},
		{At: at(12), Stop: "dropped", ServiceID: "two", Reason: "drop-oldest\x1b[2J"},
		{At: at(12), Stop: "delivered", Reason: "7 more"},
	}}
	want := "accepted from me  " + at(0).Local().Format("15:04:05.000") + `
├─ one by a.#
│    matched → delivered
├─ two by +.b
│    matched → queued (its connection is behind) → dropped (drop-oldest\u001b[2J) +12 ms
└─ delivered (7 more) +12 ms
`
	if got := string(e.draw()); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
