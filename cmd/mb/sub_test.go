package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"mbserver/client"
	"mbserver/client/clienttest"
	"mbserver/codec"
)

func TestSub(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "sub", "a.#", "a.+", "--count", "2") // one copy of what matches both
	subscribed(t, b, "publish a.+")
	start(t, "", "pub", "a.B", "hello world").wait(exitOK)
	start(t, "", "pub", "a", "x").wait(exitOK)
	i.wait(exitOK).wantOut("a.B hello world\na x\n")
}

func TestSubPayloadOnly(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "sub", "a", "-n", "1", "--payload-only")
	subscribed(t, b, "publish a")
	start(t, "", "pub", "a", "x").wait(exitOK)
	i.wait(exitOK).wantOut("x\n")
}

func TestSubFormat(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	const format = "{number} {topic.2}: {payload.x}, {bytes}"
	i := start(t, "", "sub", "a.+", "-n", "2", "--format", format)
	subscribed(t, b, "publish a.+")
	start(t, "", "pub", "a.b", `{"x":1}`, "-n", "2").wait(exitOK)
	i.wait(exitOK).wantOut("1 b: 1, 7\n2 b: 1, 7\n").wantErr("mb: subscribed to a.+")
}

// Silence ends a command that waits: in order, or short of what was wanted.
func TestWait(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	for _, tc := range []struct {
		args []string
		come func()
	}{
		{[]string{"sub", "a"}, func() { start(t, "", "pub", "a", "x").wait(exitOK) }},
		{[]string{"log"}, func() { b.Log("error", "x") }},
	} {
		for count, want := range map[string]int{"0": exitOK, "1": exitOK, "2": exitError} {
			i := start(t, "", append(tc.args, "--wait", "50ms", "-n", count)...)
			eventually(t, "listening", func() bool {
				return strings.Contains(i.stderr.String(), "mb: subscribed to a") ||
					strings.Contains(i.stderr.String(), "mb: listening for errors only; --level")
			})
			tc.come()
			i.wait(want)
			if got := len(i.stdout.lines()); got != 1 {
				t.Errorf("%v: %d lines", tc.args, got)
			}
			if want == exitError {
				i.wantErr("for 50ms: 1 of 2 ")
			}
		}
		quick := start(t, "", append(tc.args, "--wait", "1ms")...).wait(exitOK)
		quick.wantOut("")
	}
}

func TestSubJSON(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "sub", "a", "--json")
	subscribed(t, b, "publish a")
	for _, payload := range []string{
		"text \"and\nmore", `{"k":[1, 2]}`, "\xff\x00", "", "{\"\xff\":1}",
	} {
		start(t, "", "pub", "a", payload, "--version-of-message", "1.2.3").wait(exitOK)
	}
	eventually(t, "five lines", func() bool {
		return strings.Count(i.stdout.String(), "\n") == 5
	})
	i.stop()
	i.wait(exitOK)
	for n, want := range []struct{ payload, encoding string }{
		{`"text \"and\nmore"`, ""}, {`{"k":[1,2]}`, ""}, {`"/wA="`, "base64"}, {`""`, ""},
		{`"eyL/IjoxfQ=="`, "base64"},
	} {
		var m struct {
			Topic, Version, ID, Encoding string
			Payload                      json.RawMessage
			Time                         time.Time
		}
		if err := json.Unmarshal([]byte(i.stdout.lines()[n]), &m); err != nil {
			t.Fatal(err)
		}
		if m.Topic != "a" || m.Version != "1.2.3" || len(m.ID) != 36 ||
			string(m.Payload) != want.payload || m.Encoding != want.encoding ||
			time.Since(m.Time) > time.Minute {
			t.Errorf("line %d: %s", n, i.stdout.lines()[n])
		}
	}
}

func TestSubRefused(t *testing.T) {
	newBroker(t, clienttest.Options{})
	start(t, "", "sub", "a.*").wait(exitError).
		wantErr("mb: INVALID_REQUEST: not a pattern: a.* (topic system.topic.subscribe)").
		wantOut("")
}

func TestSubOptionsReachTheBroker(t *testing.T) {
	payloads := make(chan string, 1)
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		if string(h.Topic) == "system.topic.subscribe" {
			payloads <- string(payload)
		}
		return false
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	i := start(t, "", "sub", "a", "--overflow", "drop-oldest", "--conflate")
	subscribed(t, b, "publish a")
	const want = `{"action":"publish","topic":"a","overflow":"drop-oldest","conflate":true}`
	if got := <-payloads; got != want {
		t.Errorf("payload %s, want %s", got, want)
	}
	i.stop()
	i.wait(exitOK)
}

func TestSubGapAndReconnect(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "sub", "a")
	conn := subscribed(t, b, "publish a")
	conn.Send("publish:system.dropped:1.0.0", []byte(`{"count":7,"conflated":3,`+
		`"since":"2026-01-02T03:04:05.678Z","until":"2026-01-02T03:04:06.000Z"}`))
	eventually(t, "gap notice", func() bool {
		return strings.Contains(i.stderr.String(), "gap: 7 messages dropped, 3 replaced")
	})
	conn.Cut()
	eventually(t, "reconnected", func() bool {
		return strings.Contains(i.stderr.String(), "reconnected")
	})
	i.wantErr("disconnected")
	start(t, "", "pub", "a", "again").wait(exitOK)
	eventually(t, "message", func() bool { return i.stdout.String() == "a again\n" })
	i.stop()
	i.wait(exitOK)
}

// A signal between two connections: there is nothing to drain and no error.
func TestSubSignalWhileDisconnected(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "sub", "a")
	eventually(t, "subscribed", func() bool {
		return i.stderr.String() == "mb: subscribed to a\n"
	})
	b.StopListening()
	b.Disconnect()
	eventually(t, "disconnected", func() bool {
		return strings.Contains(i.stderr.String(), "disconnected")
	})
	i.stop()
	i.wait(exitOK)
}

// Whoever reads the output leaves: a quiet end.
func TestSubClosedPipe(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	var stderr buffer
	code := make(chan int, 1)
	args := []string{"sub", "a", "--quiet"}
	go func() {
		code <- run(context.Background(), args, strings.NewReader(""), w, &stderr)
	}()
	subscribed(t, b, "publish a")
	start(t, "", "pub", "a", "first").wait(exitOK)
	first := make([]byte, len("a first\n"))
	if _, err := io.ReadFull(r, first); err != nil || string(first) != "a first\n" {
		t.Fatalf("read %q, %v", first, err)
	}
	_ = r.Close() // The reader leaves.
	start(t, "", "pub", "a", "second").wait(exitOK)
	select {
	case got := <-code:
		if got != exitOK || stderr.String() != "" {
			t.Errorf("exit code %d, stderr %q", got, stderr.String())
		}
	case <-time.After(patience):
		t.Fatal("still running")
	}
}

func TestOutputBlocksWhenFull(t *testing.T) {
	r, w := io.Pipe()
	o := newOutput(w)
	chunk := make([]byte, outputLimit/2)
	added := make(chan int, 10)
	go func() {
		for n := range 6 {
			o.add(func(dst []byte) []byte { return append(dst, chunk...) })
			added <- n
		}
		close(added)
	}()
	eventually(t, "three chunks", func() bool { return len(added) >= 3 })
	if n := len(added); n > 4 {
		t.Errorf("%d chunks of half the limit taken while nobody reads", n)
	}
	_ = r.CloseWithError(io.ErrClosedPipe)
	for range added {
	}
	if err := o.close(); err != io.ErrClosedPipe {
		t.Errorf("close: %v", err)
	}
}

func TestAppendMessageIsOneLine(t *testing.T) {
	m := client.Message{Topic: "a", Version: "1.0.0", Payload: []byte("{\n \"a\": \"<&>\"\n}")}
	got := string(appendMessage(nil, m, time.UnixMilli(0)))
	const want = `{"topic":"a","version":"1.0.0","payload":{"a":"<&>"},` +
		`"time":"1970-01-01T00:00:00.000Z"}` + "\n"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
