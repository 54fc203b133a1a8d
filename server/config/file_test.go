package config

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// What is no configuration is refused with the line, and in words of ours. Nothing that stands in a
// file is passed over.
func TestSyntaxIsExplained(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		line       int
		want       string
	}{
		{"indented first key", " ports.ws: 21000\nhost: \"::1\"\n", 2, "indented alike"},
		{"indented first key, more", "\n  loops: 1\n\n# x\nhost: localhost\n", 5, "indented alike"},
		{"second document", "---\n# x\n---\nports: {ws: 21000}\n", 3, "second document"},
		{"second document behind keys", "loops: 1\n---\nloops: 2\n", 2, "second document"},
		{"behind a flow map", "{loops: 1} more\n", 1, "closing bracket"},
		{"behind a flow map, next line", "{loops: 1}\nhost: localhost\n", 2, "closing bracket"},
		{"behind the end", "loops: 1\n...\nhost: localhost\n", 3, "second document"},
		{"tab", "ports:\n\tws: 1\n", 2, "a tab"},
		{"tab behind spaces", "ports:\n  ws: 1\n \ttcp: 1\n", 3, "a tab"},
		{"tab at the beginning", "\tloops: 1\n", 1, "a tab"},
		{"two colons", "a: b: c\n", 1, "a colon where no key can stand"},
		{"open flow map", "loops: 1\nports: {ws: 1\n", 3, "} of what begins in line 2"},
		{"open list", "loops: [1\n", 2, "]"},
		{"open quote", "loops: 1\nhost: \"x\n", 3, "the closing quote of what begins in line 2"},
		{"odd indentation", "ports:\n  ws: 1\n   tcp: 2\n", 3, "a colon where no key can stand"},
		{"less indentation", "ports:\n    ws: 1\n  tcp: 2\n", 3, "a key is expected here"},
		{"no colon", "loops: 1\nhost\n", 3, "colon, with a space behind it, of what begins in"},
		{"percent", "host: %h\n", 1, "quote it"},
		{"at sign", "loops: 1\nhost: @h\n", 2, "quote it"},
		{"no anchor", "host: *h\n", 1, "quote the value"},
		{"escape", "host: \"\\d\"\n", 1, "an escape"},
		{"same key", "loops: 1\nloops: 2\n", 2, "given twice"},
		{"same group", "ports: {ws: 1}\nhost: x\nports: {ws: 2}\n", 3, "given twice"},
		{"not UTF-8", "loops: 1\nhost: \"\xff\"\n", 2, "UTF-8"},
		{"control character", "loops: 1\nhost: \x01\n", 2, "control character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := readFile("mb.yaml", []byte(tt.file))
			if len(l.faults) != 1 {
				t.Fatalf("%d faults: %v", len(l.faults), l.faults)
			}
			got, start := l.faults[0].Error(), fmt.Sprintf("file mb.yaml, line %d: ", tt.line)
			if !strings.HasPrefix(got, start) || !strings.Contains(got, tt.want) {
				t.Errorf("%s\nwant %s… %s", got, start, tt.want)
			}
			if strangeWords.MatchString(got) {
				t.Errorf("not in words of ours: %s", got)
			}
		})
	}
}

// strangeWords are those of the language that the program is written in, and of its libraries.
var strangeWords = regexp.MustCompile(
	`!!|unmarshal|strconv|map\[|interface|yaml:|go-yaml|int64|float|invalid argument|syscall|nil`)

func TestFaultsAreInWordsOfOurs(t *testing.T) {
	for _, tt := range refused {
		_, err := load(t, tt.file, tt.env, tt.args...)
		if err != nil && strangeWords.MatchString(err.Error()) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A number means the same wherever it stands.
func TestNumbersMeanOneThing(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int // 0: refused
	}{
		{"12", 12}, {"0012", 12}, {"012", 12}, {"08", 8}, {"12.0", 12}, {"1.2e1", 12}, {" 12 ", 12},
		{"+12", 12}, {"0x12", 0}, {"0o12", 0}, {"0b1", 0}, {"1_2", 0}, {"1,2", 0}, {"12.5", 0},
		{"12s", 0}, {".inf", 0}, {"1e99", 0}, {"true", 0},
	} {
		for _, from := range []struct {
			source, file string
			env, args    []string
		}{
			{source: "file", file: "loops: " + tt.text},
			{source: "quotes", file: `loops: "` + tt.text + `"`},
			{source: "environment", env: []string{"LOOPS=" + tt.text}},
			{source: "flag", args: []string{"--set", "loops=" + tt.text}},
		} {
			c, err := load(t, from.file, from.env, from.args...)
			if c.Loops != tt.want || (err == nil) != (tt.want != 0) {
				t.Errorf("%q in %s: %d, %v", tt.text, from.source, c.Loops, err)
			}
		}
	}
}

func TestNearestFlag(t *testing.T) {
	for name, want := range map[string]string{
		"port": "--ws-port", "wsport": "--ws-port", "admin-addr": "--admin-address",
		"adminAddress": "--admin-address", "loops": "--set loops=…", "ports.ws": "--ws-port",
		"Shutdown.Timeout": "--set shutdown.timeout=…", "conf": "--config", "level": "--log-level",
		"nonsense": "",
	} {
		if got := NearestFlag(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
