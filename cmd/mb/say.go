package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"mbserver/client"
	"mbserver/cmd/mb/terminal"
)

// complain tells what went wrong on standard error: a line, or with --json an
// object that has an error. Any goroutine.
func (a *app) complain(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !a.json {
		a.sayLine(text)
		return
	}
	said := saidError{Message: text}
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			said.detail(err)
		}
	}
	a.sayObject(map[string]any{"error": said})
}

// notice tells what is good to know, unless --quiet. Any goroutine.
func (a *app) notice(format string, args ...any) {
	switch {
	case a.quiet:
	case a.json:
		a.sayObject(map[string]any{"notice": fmt.Sprintf(format, args...)})
	default:
		a.sayLine(fmt.Sprintf(format, args...))
	}
}

// tellGap says that this subscriber lost messages. Any goroutine.
func (a *app) tellGap(g client.Gap) {
	if a.json {
		a.sayObject(map[string]any{"gap": g})
		return
	}
	line := "gap: " + plural(int(g.Count), "message") + " dropped"
	if g.AtMost {
		line = "gap: at most " + plural(int(g.Count), "message") + " of other nodes lost"
	}
	if g.Conflated > 0 {
		line += fmt.Sprintf(", %s replaced by newer ones", number(int(g.Conflated)))
	}
	if !g.Since.IsZero() {
		line += fmt.Sprintf(", from %s to %s",
			g.Since.Format(time.RFC3339Nano), g.Until.Format(time.RFC3339Nano))
	}
	a.sayLine(line)
}

func (a *app) sayLine(text string) {
	a.say("mb: " + terminal.Line(strings.Join(strings.Fields(text), " ")) + "\n")
}

func (a *app) sayObject(object any) {
	line, err := json.Marshal(object)
	if err != nil {
		line = fmt.Appendf(nil, `{"error":{"message":%q}}`, err)
	}
	if a.onTerminal {
		line = terminal.AppendText(nil, line)
	}
	a.say(string(line) + "\n")
}

// say writes to standard error, over a line of progress when one is shown.
func (a *app) say(text string) {
	a.saying.Lock()
	defer a.saying.Unlock()
	if a.progressing {
		text = eraseLine + text
		a.progressing = false
	}
	_, _ = a.stderr.Write([]byte(text)) // There is nowhere to tell that this failed.
}

// saidError is an error as JSON has it.
type saidError struct {
	Code    string         `json:"code,omitempty"` // of the broker, protocol §7
	Message string         `json:"message"`
	Details map[string]any `json:"details,omitempty"`
}

// detail takes what err says beside its text.
func (s *saidError) detail(err error) {
	var e *client.Error
	if !errors.As(err, &e) {
		return
	}
	s.Code, s.Details = string(e.Code), e.Details
	if s.Message == e.Error() {
		s.Message = e.Message
	}
}

// number is n for people.
func number(n int) string { return humanize.Comma(int64(n)) }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}
