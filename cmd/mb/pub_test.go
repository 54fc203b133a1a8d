package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// recorder is a broker that notes every publish as "topic version payload" and
// routes none.
func recorder(
	t *testing.T, answer func(c *clienttest.Conn, h *codec.Header),
) (*clienttest.Broker, func() []string) {
	t.Helper()
	var got buffer
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		if h.Action != codec.Publish {
			return false
		}
		// A buffer takes everything.
		_, _ = fmt.Fprintf(&got, "%s %s %s\n", h.Topic, h.Version, payload)
		if answer != nil {
			answer(c, h)
		}
		return true
	}
	b := newBroker(t, clienttest.Options{Intercept: intercept})
	return b, got.lines
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestPub(t *testing.T) {
	for _, tc := range []struct {
		name  string
		stdin string
		args  []string
		want  []string
	}{
		{"argument", "", []string{"a.b", "hello world"}, []string{"a.b 1.0.0 hello world"}},
		{"empty argument", "", []string{"a.b", ""}, []string{"a.b 1.0.0 "}},
		{"repeated", "", []string{"a", "x", "--count", "3"},
			[]string{"a 1.0.0 x", "a 1.0.0 x", "a 1.0.0 x"}},
		{"version", "", []string{"a", "x", "--version-of-message", "2.3.4"}, []string{"a 2.3.4 x"}},
		{"lines", "one\n\ntwo\nthree", []string{"a"},
			[]string{"a 1.0.0 one", "a 1.0.0 two", "a 1.0.0 three"}},
		{"lines and count", "one\ntwo\nthree", []string{"a", "-n", "2"},
			[]string{"a 1.0.0 one", "a 1.0.0 two"}},
		{"tsv", "a.b\tone\tand more\nc\t\n", []string{"--tsv"},
			[]string{"a.b 1.0.0 one\tand more", "c 1.0.0 "}},
		{"template", `{"o":"DTW","n":{"d":7}}` + "\n", []string{"f.{o}.x{n.d}"},
			[]string{`f.dtw.x7 1.0.0 {"o":"DTW","n":{"d":7}}`}},
		{"template and argument", "", []string{"f.{o}", `{"o":true}`},
			[]string{`f.true 1.0.0 {"o":true}`}},
		{"whole", "one\ntwo\n", []string{"a", "--whole"}, []string{"a 1.0.0 one", "two", ""}},
		{"nothing", "", []string{"a"}, []string{""}},
		{"byte order mark", "\ufeffone\r\n\ufefftwo\r\n", []string{"a"},
			[]string{"a 1.0.0 one", "a 1.0.0 \ufefftwo"}},
		{"only a mark", "\ufeff\r\n\r\nx", []string{"a"}, []string{"a 1.0.0 x"}},
		{"mark and tsv", "\ufeffb\tone\r\n", []string{"--tsv"}, []string{"b 1.0.0 one"}},
		{"mark and whole", "\ufeffone\r\n", []string{"a", "--whole"},
			[]string{"a 1.0.0 \ufeffone\r", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, got := recorder(t, nil)
			start(t, tc.stdin, append([]string{"pub"}, tc.args...)...).wait(exitOK).wantOut("")
			wantLines(t, got(), tc.want...)
		})
	}
}

func TestPubBuckets(t *testing.T) {
	_, got := recorder(t, nil)
	stdin := ""
	for _, delay := range []string{"-5", "0", "14", "14.5", "15", "300"} {
		stdin += fmt.Sprintf("{\"delay\":%s}\n", delay)
	}
	start(t, stdin, "pub", "f.{delay:early<0,ontime<15,late}").wait(exitOK)
	var topics []string
	for _, l := range got() {
		topic, _, _ := strings.Cut(l, " ")
		topics = append(topics, topic)
	}
	wantLines(t, topics, "f.early", "f.ontime", "f.ontime", "f.ontime", "f.late", "f.late")
}

func TestPubBadInput(t *testing.T) {
	for _, tc := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"{\"o\":\"x\"}\nnot json\n", []string{"f.{o}"}, "line 2: not a JSON object"},
		{"[1]", []string{"f.{o}"}, "not a JSON object"},
		{"null", []string{"f.{o}"}, "not a JSON object"},
		{`{"p":1}`, []string{"f.{o}"}, `no field "o"`},
		{`{"o":{}}`, []string{"f.{o}"}, `field "o"`},
		{`{"o":"a.b"}`, []string{"f.{o}"}, `"a.b" has other characters`},
		{`{"o":"new york"}`, []string{"f.{o}"}, "has other characters"},
		{`{"o":""}`, []string{"f.{o}"}, "has other characters"},
		{`{"o":7}`, []string{"f.{o}"}, `"f.7" is not a topic`},
		{`{"o":"x"}`, []string{"f.{o:a<1,b}"}, "is not a number"},
		{"no tab here", []string{"--tsv"}, "line 1: no tab"},
		{"", []string{"a", "--file", "/does/not/exist"}, "no such file"},
	} {
		newBroker(t, clienttest.Options{})
		start(t, tc.stdin, append([]string{"pub"}, tc.args...)...).wait(exitError).wantErr(tc.want)
	}
}

// A bad line is told and skipped; what comes behind it is sent, unless asked.
func TestBadLines(t *testing.T) {
	const stdin = "{\"o\":\"x\"}\nnot json\n{\"o\":7}\n{\"o\":\"y\"}\n"
	for _, tc := range []struct {
		args []string
		want []string
		errs []string
	}{
		{[]string{"pub", "f.{o}"}, []string{`f.x 1.0.0 {"o":"x"}`, `f.y 1.0.0 {"o":"y"}`},
			[]string{"line 2: not a JSON", `line 3: `, "published 2", "2 of 4 lines could not"}},
		{[]string{"pub", "f.{o}", "--ack"},
			[]string{`f.x 1.0.0 {"o":"x"}`, `f.y 1.0.0 {"o":"y"}`},
			[]string{"line 2: not a JSON", "2 of 4 lines could not be sent"}},
		{[]string{"pub", "f.{o}", "--fail-fast"}, []string{`f.x 1.0.0 {"o":"x"}`},
			[]string{"line 2: not a JSON", "published 1"}},
		{[]string{"pub", "f.{o}", "--json"},
			[]string{`f.x 1.0.0 {"o":"x"}`, `f.y 1.0.0 {"o":"y"}`},
			[]string{`{"error":{"message":"line 2: not`, "2 of 4 lines could not be sent"}},
	} {
		_, got := recorder(t, func(c *clienttest.Conn, h *codec.Header) {
			if len(h.RequestID) > 0 {
				c.Send(fmt.Sprintf("response:%s:1.0.0:%s", h.Topic, h.RequestID),
					[]byte(`{"status":"success","subscribers":1}`))
			}
		})
		i := start(t, stdin, tc.args...).wait(exitError).wantErr(tc.errs...)
		wantLines(t, got(), append(tc.want, "")[:len(tc.want)]...)
		if strings.Contains(i.stdout.String(), "skipped") &&
			!strings.Contains(i.stdout.String(), `"skipped":2`) {
			t.Errorf("%s", i.stdout.String())
		}
	}
	b := newBroker(t, clienttest.Options{})
	echo := start(t, "", "reply", "f.+", "--echo")
	subscribed(t, b, "request f.+")
	start(t, stdin, "request", "f.{o}").wait(exitError).
		wantOut("{\"o\":\"x\"}\n{\"o\":\"y\"}\n").wantErr("line 2: not a", "request 3: MALFORMED")
	start(t, stdin, "request", "f.{o}", "--fail-fast").wait(exitError).
		wantOut("{\"o\":\"x\"}\n").wantErr("line 2: not a")
	start(t, "1\n2\n3\n", "request", "nobody", "--fail-fast").wait(exitError)
	many := start(t, strings.Repeat("x\n", 5000), "pub", "--tsv").wait(exitError).
		wantErr("line 10: no tab", "further bad lines", "5,000 of 5,000 lines could not be sent")
	if n := strings.Count(many.stderr.String(), "no tab"); n != faultsShown {
		t.Errorf("%d bad lines were told", n)
	}
	for _, mark := range []string{"\xff\xfea\x00\n\x00", "\xfe\xff\x00a\x00\n"} {
		start(t, mark, "pub", "a").wait(exitError).wantErr("UTF-16")
	}
	echo.stop()
	echo.wait(exitOK)
}

func TestPubNoRoute(t *testing.T) {
	newBroker(t, clienttest.Options{})
	start(t, "one\ntwo\n", "pub", "a").wait(exitOK).
		wantErr("published 2 messages", "NO_ROUTE_FOUND: 2 of 2")
	start(t, "one\ntwo\n", "pub", "a", "--ack").wait(exitOK).wantErr("NO_ROUTE_FOUND: 2 of 2")
	start(t, "one\n", "pub", "a", "--fail-no-route", "--quiet").wait(exitError).
		wantErr("NO_ROUTE_FOUND: 1 of 1")
	if i := start(t, "one\n", "pub", "a", "--quiet").wait(exitOK); i.stderr.String() != "" {
		t.Errorf("stderr %q", i.stderr.String())
	}
}

func TestPubRefused(t *testing.T) {
	_, _ = recorder(t, func(c *clienttest.Conn, h *codec.Header) {
		id := string(h.RequestID)
		if id == "" {
			id = "00000000-0000-4000-8000-000000000000"
		}
		c.Send("response:"+string(h.Topic)+":1.0.0:"+id,
			[]byte(`{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"too fast"}}`))
	})
	for _, extra := range []string{"--ack", "--ack=false"} {
		start(t, "1\n2\n3\n", "pub", "a", extra).wait(exitError).
			wantErr("3 of 3", "RATE_LIMIT_EXCEEDED: too fast")
	}
}

func TestPubAck(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	sub := start(t, "", "sub", "a", "--count", "5000")
	subscribed(t, b, "publish a")
	lines := strings.Repeat("x\n", 5000) // more than may wait for acknowledgement
	start(t, lines, "pub", "a", "--ack").wait(exitOK).
		wantErr("published 5,000 messages", "deliveries: 5,000")
	if got := len(sub.wait(exitOK).stdout.lines()); got != 5000 {
		t.Errorf("%d lines", got)
	}
	subscribed2 := start(t, "", "sub", "a", "-n", "1")
	subscribed(t, b, "publish a")
	out := start(t, "", "pub", "a", "x", "--ack", "--json").wait(exitOK).stdout.String()
	if !strings.Contains(out, `"subscribers":1`) || !strings.Contains(out, `"published":1`) {
		t.Errorf("stdout %q", out)
	}
	subscribed2.wait(exitOK).wantOut("a x\n")
}

func TestPubConnectionLost(t *testing.T) {
	_, _ = recorder(t, func(c *clienttest.Conn, h *codec.Header) { c.Cut() })
	start(t, strings.Repeat("x\n", 1000), "pub", "a").wait(exitError).wantErr("disconnected")
}

func TestPubRate(t *testing.T) {
	_, got := recorder(t, nil)
	begin := time.Now()
	start(t, "", "pub", "a", "x", "--count", "11", "--rate", "100").wait(exitOK)
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("11 messages at 100 a second took %v", took)
	}
	if len(got()) != 11 {
		t.Errorf("%d messages", len(got()))
	}
}

// A signal ends the reading; what was sent is settled.
func TestPubSignal(t *testing.T) {
	_, got := recorder(t, nil)
	i := start(t, "", "pub", "a", "x", "--count", "1000000", "--rate", "50")
	eventually(t, "some messages", func() bool { return len(got()) > 3 })
	i.stop()
	i.wait(exitInterrupted).wantErr("published", "interrupted after")
}

// 20,000 lines of a file to topics of their own, all taken when mb ends.
func TestPubManyLines(t *testing.T) {
	const count = 20000
	b, got := recorder(t, nil)
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, "{\"n\":%d,\"origin\":\"A%c\"}\n", i, 'A'+i%26)
	}
	file := writeFile(t, "lines.ndjson", text.String())
	begin := time.Now()
	start(t, "", "pub", "f.{origin}", "--file", file).wait(exitOK).
		wantErr("published 20,000 messages")
	if n := b.Received(codec.Publish); n != count {
		t.Errorf("%d publishes at the broker when mb ended", n)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	for i, l := range got() {
		if want := fmt.Sprintf(`f.a%c 1.0.0 {"n":%d,`, 'a'+i%26, i); !strings.HasPrefix(l, want) {
			t.Fatalf("message %d is %q, want %q", i, l, want)
		}
	}
}

func TestPubFileUnreadable(t *testing.T) {
	newBroker(t, clienttest.Options{})
	dir := t.TempDir()
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	start(t, "", "pub", "a", "--file", dir).wait(exitError).wantErr("reading the input")
}
