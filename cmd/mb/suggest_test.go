package main

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mbserver/client/clienttest"
)

func TestNearest(t *testing.T) {
	known := []string{"pub", "sub", "request", "services", "drop", "drop-oldest"}
	for word, want := range map[string]string{
		"pbu": "pub", "pubb": "pub", "serv": "services", "reqeust": "request", "SUB": "sub",
		"drop-oldset": "drop-oldest", "oldest": "drop-oldest",
		"drpo": "drop", "elephant": "", "": "", "x": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestTypos(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.StringMatching(`[abc]{0,6}`)
		a, b := letters.Draw(t, "a"), letters.Draw(t, "b")
		d := typos(a, b)
		if d != typos(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) ||
			d < max(len(a), len(b))-min(len(a), len(b)) {
			t.Fatalf("%q to %q: %d", a, b, d)
		}
	})
}

// What is wrong with a command line is said in its own words, with what was
// probably meant and where to look.
func TestUsageIsPlain(t *testing.T) {
	newBroker(t, clienttest.Options{})
	const policies = "must be drop, drop-oldest or disconnect"
	for _, tc := range []struct{ line, want string }{
		{"pbu a x", `unknown command "pbu"; did you mean pub? (see mb --help)`},
		{"context lst", `did you mean list? (see mb context --help)`},
		{"help pbu", `unknown command "pbu"; did you mean pub?`},
		{"help context lst", "did you mean list?"},
		{"completion fsh", "did you mean fish?"},
		{"sub a --overflw drop", "--overflw; did you mean --overflow? (see mb sub --help)"},
		{"sub a --jsn", "unknown flag --jsn; did you mean --json?"},
		{"sub a -x", "unknown flag -x"},
		{"sub a --overflow oldest", policies},
		{"sub a --overflow drop-oldset", policies + "; did you mean drop-oldest?"},
		{"log --level info,wran", "must be debug, info, warn or error; did you mean warn?"},
		{"bench --transports udp", `--transports "udp": must be tcp, ws, tls, wss or ws-deflate`},
		{"sub", "PATTERN is missing: mb sub PATTERN..."},
		{"pub", "TOPIC is missing"},
		{"pub a b c", `unexpected argument "c": mb pub TOPIC [PAYLOAD]`},
		{"services x", `unexpected argument "x": mb services`},
		{"reply", "PATTERN is missing: mb reply PATTERN [TEXT]"},
		{"bench compare a", "NEW.json is missing: mb bench compare OLD.json NEW"},
		{"pub a b --rate fast", `--rate "fast": must be a number`},
		{"pub a b -n many", `--count "many": must be a whole number`},
		{"topics --timeout 5", `"5": must be a time with its unit, such as 5s or 300ms`},
		{"sub a --count", "--count: N is missing"},
		{"sub a --wait -1s", "--wait must not be negative"},
		{"log --wait -1s", "--wait must not be negative"},
		{"sub a --format {nme}", "--format: {nme} is no field: {number},"},
		{"sub a --format x --json", "--format and --json exclude each other"},
	} {
		start(t, "", strings.Fields(tc.line)...).wait(exitUsage).wantErr(tc.want)
	}
}

// The aliases that users of other tools type.
func TestAliases(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	i := start(t, "", "subscribe", "a", "-n", "1")
	subscribed(t, b, "publish a")
	start(t, "", "publish", "a", "x").wait(exitOK)
	i.wait(exitOK).wantOut("a x\n")
	start(t, "", "req", "nobody", "x").wait(exitError)
}

// complete is what the shell offers after these words.
func complete(t *testing.T, args ...string) []string {
	t.Helper()
	lines := start(t, "", append([]string{"__complete"}, args...)...).wait(exitOK).stdout.lines()
	return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, ":") })
}

func TestComplete(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	start(t, "", "context", "add", "prod", "--server", "tcp://x").wait(exitOK)
	sub := start(t, "", "sub", "flights.+.lax", "news.#", "weather")
	service := start(t, "", "reply", "time.now", "x", "--name", "clock")
	subscribed(t, b, "publish weather")
	conn := subscribed(t, b, "request time.now")
	for _, tc := range []struct{ line, want string }{
		{"sub a --overflow=dr", "drop drop-oldest"},
		{"log --level info,w", "info,warn"},
		{"bench --targets ra", "raw"},
		{"bench fan-out/10", "fan-out/10 fan-out/100 fan-out/1000"},
		{"sub -", "*"},
		{"sub ", "flights.+.lax news.# weather"},
		{"sub x NEWS", "news.#"},
		{"pub ", "flights. news. weather"},
		{"pub a ", ""},
		{"request ", "time.now"},
		{"reply ", "time.now"},
		{"metrics --service ", "*" + conn.ID + "\tclock"},
		{"metrics --filter router", "router.publish.rate"},
		{"subscriptions --topic ", "flights. news. weather"},
		{"subscriptions --service ", "*" + conn.ID + "\tclock"},
		{"subscriptions --action p", "publish"},
		{"context use ", "prod"},
		{"context remove ", "prod"},
		{"--context ", "prod"},
	} {
		words := strings.Split(tc.line, " ")
		got := strings.Join(complete(t, words...), " ")
		if part, some := strings.CutPrefix(tc.want, "*"); some {
			if got == "" || !strings.Contains(got, part) {
				t.Errorf("%s: %q", tc.line, got)
			}
		} else if got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.line, got, tc.want)
		}
	}
	for _, i := range []*invocation{sub, service} {
		i.stop()
		i.wait(exitOK)
	}
	b.StopListening()
	if got := complete(t, "sub", ""); len(got) != 0 {
		t.Errorf("without a broker: %q", got)
	}
}
