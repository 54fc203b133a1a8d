package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"mbserver/client/clienttest"
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestServices(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "reply", "a", "x", "--name", "one\ttwo")
	subscribed(t, b, "request a")
	lines := start(t, "", "services").wait(exitOK).stdout.lines()
	heading := regexp.MustCompile(`^ID +NAME +NODE +TRANSPORT`)
	row := regexp.MustCompile(
		`^[0-9a-f-]{36}  one\\ttwo  - +tcp +2026-01-01T00:00:00.000Z  0 +0 +mb reply a$`)
	if len(lines) != 3 || !heading.MatchString(lines[0]) || !row.MatchString(lines[1]) {
		t.Errorf("table %q", lines)
	}
	lines = start(t, "", "services", "--json").wait(exitOK).stdout.lines()
	if len(lines) != 2 || !strings.Contains(lines[0], `"name":"one\ttwo"`) ||
		!strings.Contains(lines[0], `"lastHeartbeat"`) {
		t.Errorf("json %q", lines)
	}
	i.stop()
	i.wait(exitOK)
}

func TestTopics(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	start(t, "", "topics").wait(exitOK).wantOut("")
	i := start(t, "", "sub", "b.#", "a")
	subscribed(t, b, "publish a")
	start(t, "", "topics").wait(exitOK).wantOut("a\nb.#\n")
	start(t, "", "topics", "--json").wait(exitOK).
		wantOut("{\"topic\":\"a\"}\n{\"topic\":\"b.#\"}\n")
	i.stop()
	i.wait(exitOK)
}

func TestMetrics(t *testing.T) {
	newBroker(t, clienttest.Options{})
	const heading = "METRIC               VALUE\n"
	start(t, "", "metrics").wait(exitOK).
		wantOut(heading + "connection.active    1\nrouter.publish.rate  1.5/s\n")
	start(t, "", "metrics", "--filter", "router").wait(exitOK).
		wantOut(heading + "router.publish.rate  1.5/s\n")
	start(t, "", "metrics", "--filter", "router", "--json").wait(exitOK).
		wantOut("{\"name\":\"router.publish.rate\",\"value\":1.5}\n")
	start(t, "", "metrics", "--service", "00000000-0000-4000-8000-000000000000").wait(exitOK)
}

func TestLog(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "log", "--level", "info,warn", "--count", "1")
	j := start(t, "", "log", "--regex", "hel+o", "--json", "--count", "1")
	eventually(t, "lines", func() bool {
		b.Log("info", "hello\x1b[31m")
		return i.stdout.String() != "" && j.stdout.String() != ""
	})
	i.wait(exitOK).wantOut("2026-01-01T00:00:00.000Z INFO  [test] hello\\u001b[31m\n")
	got := j.wait(exitOK).stdout.lines()
	if len(got) != 1 || !strings.HasPrefix(got[0], `{"level":"info"`) {
		t.Errorf("json %q", got)
	}
}

func TestLogLine(t *testing.T) {
	for in, want := range map[string]string{
		`{"level":"warn","message":"m","module":"door",` +
			`"timestamp":"T","b":2,"a":"x"}`: "T WARN  [door] m a=x b=2",
		`{"level":"info","message":"m","timestamp":"T"}`: "T INFO  m",
		`{"message":"m","timestamp":"T","level":"info",
"bytes":3932156,"id":12345678901234567890}`: "T INFO  m bytes=3932156 id=12345678901234567890",
		"not json\n": `not json\n`,
	} {
		if got := logLine([]byte(in)); got != want {
			t.Errorf("logLine(%s) = %q, want %q", in, got, want)
		}
	}
}
