package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/spf13/cobra"

	"mbserver/client/clienttest"
)

func TestFill(t *testing.T) {
	const text = "one two three four five six\nseven\n\n" +
		"  kept as it is, however long that may be\neight nine"
	const want = "one two three\nfour five six\nseven\n\n" +
		"  kept as it is, however long that may be\neight nine"
	if got := fill(text, 13); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The help of every command fits, on a narrow terminal too, lists every flag and
// command once, and speaks of no Go.
func TestHelpOfAll(t *testing.T) {
	newBroker(t, clienttest.Options{})
	s := newScreen(t)
	if err := pty.Setsize(s.tty, &pty.Winsize{Rows: 24, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	a := &app{out: &outlet{}}
	var visit func(cmd *cobra.Command, path []string)
	visit = func(cmd *cobra.Command, path []string) {
		i := start(t, "", append(path, "--help")...).wait(exitOK)
		text := i.stdout.String()
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(line) - 1; n > helpWidth {
				t.Errorf("%v: %d columns: %q", path, n, line)
			}
		}
		for _, bad := range []string{"[=true|false]", " strings ", " ints "} {
			if strings.Contains(text, bad) {
				t.Errorf("%v: %q in the help", path, bad)
			}
		}
		for _, c := range cmd.Commands() {
			if !c.IsAvailableCommand() {
				continue
			}
			if strings.Count(text, "\n  "+c.Name()+" ") != 1 {
				t.Errorf("%v: %s is not listed once", path, c.Name())
			}
			visit(c, append(path[:len(path):len(path)], c.Name()))
		}
		startOn(t, strings.NewReader(""), s.tty, s.tty, append(path, "--help")...).wait(exitOK)
	}
	visit(a.root(), nil)
	s.shows(t, "Usage:\r\n  mb sub PATTERN... [flags]")
	for line := range strings.SplitSeq(s.text.String(), "\r\n") {
		n := utf8.RuneCountInString(line)
		if n > 60 && line[0] != ' ' && strings.Contains(line, " ") {
			t.Errorf("%d columns on a terminal of 60: %q", n, line)
		}
	}
}
