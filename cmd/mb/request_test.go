package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"mbserver/client/clienttest"
)

func TestRequestReply(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	fixed := start(t, "", "reply", "greet", "hello there", "--priority", "1.5", "--name", "greeter")
	echo := start(t, "", "reply", "echo.+", "--echo", "--concurrency", "4")
	conn := subscribed(t, b, "request greet")
	subscribed(t, b, "request echo.+")
	if conn.Name() != "greeter" {
		t.Errorf("registered as %q", conn.Name())
	}
	start(t, "", "request", "greet", "x").wait(exitOK).wantOut("hello there\n")
	// No input: one empty request.
	start(t, "", "request", "greet").wait(exitOK).wantOut("hello there\n")
	start(t, "", "request", "greet", "x", "--count", "2").wait(exitOK).
		wantOut("hello there\nhello there\n")

	var in, want strings.Builder
	for i := range 500 {
		in.WriteString(strconv.Itoa(i) + "\n")
		want.WriteString(strconv.Itoa(i) + "\n")
	}
	start(t, in.String(), "request", "echo.x", "--parallel", "16").wait(exitOK).
		wantOut(want.String())

	out := start(t, "", "request", "Greet", "x", "--json").wait(exitOK).stdout.String()
	var answer struct {
		Topic, Payload string
		Ms             float64
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Topic != "Greet" ||
		answer.Payload != "hello there" || answer.Ms <= 0 {
		t.Errorf("stdout %q: %v", out, err)
	}
	for _, i := range []*invocation{fixed, echo} {
		i.stop()
		i.wait(exitOK).wantErr("answering ")
	}
}

func TestRequestErrors(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	start(t, "", "request", "nobody", "x").wait(exitError).
		wantOut("").wantErr("mb: NO_ROUTE_FOUND: no service")
	start(t, "1\n2\n", "request", "nobody").wait(exitError).wantErr("request 2: NO_ROUTE_FOUND")
	out := start(t, "", "request", "nobody", "x", "--json").wait(exitError).stdout.String()
	if !strings.Contains(out, `"error":{"code":"NO_ROUTE_FOUND"`) {
		t.Errorf("stdout %q", out)
	}
	i := start(t, "", "reply", "slow", "--command", "sleep 10")
	subscribed(t, b, "request slow")
	start(t, "", "request", "slow", "x", "--timeout", "100ms").wait(exitError).wantErr("TIMEOUT")
	b.Disconnect() // ends what it works on; the service itself goes on
	eventually(t, "reconnected", func() bool {
		said := i.stderr.String()
		return strings.Contains(said, "signal: terminated") &&
			strings.Contains(said, "mb: reconnected")
	})
	i.stop()
	i.wait(exitOK)
}

// A connection that is lost while the service drains leaves a request without
// its answer: an error.
func TestReplyCutWhileDraining(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	begun := t.TempDir() + "/begun"
	i := start(t, "", "reply", "slow", "--command", "touch "+begun+"; sleep 10")
	conn := subscribed(t, b, "request slow")
	request := start(t, "", "request", "slow", "x")
	eventually(t, "command", func() bool { return exists(begun) })
	i.stop()
	eventually(t, "unsubscribed", func() bool { return len(conn.Subscriptions()) == 0 })
	b.Disconnect()
	i.wait(exitError).wantErr("disconnected")
	request.wait(exitError)
}

func TestReplyCommand(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "reply", "up.+",
		"--command", `printf '%s %s ' "$MB_TOPIC" "${#MB_ID}"; tr a-z A-Z; echo`, "--quiet")
	bad := start(t, "", "reply", "bad", "--command", "echo out of paper >&2; exit 3")
	subscribed(t, b, "request up.+")
	subscribed(t, b, "request bad")
	start(t, "", "request", "up.x", "shout").wait(exitOK).wantOut("up.x 36 SHOUT\n")
	start(t, "", "request", "bad", "x").wait(exitError).
		wantErr("HANDLER_ERROR: out of paper (exit status 3)")
	for _, r := range []*invocation{i, bad} {
		r.stop()
		r.wait(exitOK)
	}
	if i.stderr.String() != "" {
		t.Errorf("quiet, but stderr %q", i.stderr.String())
	}
}

// What is being worked on when the signal comes is answered; with --count the
// service ends by itself.
func TestReplyEnds(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	path := t.TempDir()
	i := start(t, "", "reply", "a", "--command",
		"touch "+path+"/started; while [ ! -e "+path+"/go ]; do sleep 0.01; done; echo done")
	subscribed(t, b, "request a")
	request := start(t, "", "request", "a", "x")
	eventually(t, "command", func() bool { return exists(path + "/started") })
	i.stop()
	eventually(t, "unsubscribed", func() bool {
		return len(b.Conns()) > 0 && len(b.Conns()[0].Subscriptions()) == 0
	})
	touch(t, path+"/go")
	request.wait(exitOK).wantOut("done\n")
	i.wait(exitOK)

	counted := start(t, "", "reply", "b", "--echo", "--count", "2")
	subscribed(t, b, "request b")
	start(t, "1\n2\n", "request", "b").wait(exitOK).wantOut("1\n2\n")
	counted.wait(exitOK)
}
