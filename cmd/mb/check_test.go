package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"mbserver/client/clienttest"
)

func TestCheck(t *testing.T) {
	n := newNode(t)
	clockAndNews(t, n)
	text := start(t, "", "check").wait(stateOK).stdout.String()
	want := regexp.MustCompile(`^MB OK - answers in [\d.]+ [µm]?s, 3 connections, up [\dms ]+ \| ` +
		`latency=0\.\d+s;;;0 connections=3;;;0 outstanding=0;;;0 queued=0;;;0 ` +
		`backlog=\d+B;;;0 dropped=0;;;0 ` +
		`errors=0;;;0 timeouts=0;;;0 memory=\d+B;;;0 memory-share=[\d.]+%;;;0 cpu=[\d.]+%;;;0\n$`)
	if !want.MatchString(text) {
		t.Errorf("printed %q", text)
	}
	for args, tc := range map[string]struct {
		state int
		want  string
	}{
		"--latency 1m,2m --memory 1TiB,2TiB --cpu 99%,100%": {stateOK, "MB OK - answers in "},
		"--connections 2,100":                               {stateWarning, "MB WARNING - conn"},
		"--connections ,2 --latency 1m": {stateCritical,
			"MB CRITICAL - connections "},
		"--memory 1KiB,10GiB --latency 0s,1ns": {stateCritical,
			"MB CRITICAL - latency "},
		"--memory-share 0%,100%": {stateWarning, "MB WARNING - memory-share "},
		"--service clock":        {stateOK, "MB OK"},
		"--backlog 1GiB,2GiB --admin " + n.Addr("admin"): {stateOK,
			"backlog="},
		"--admin 127.0.0.1:1":        {stateCritical, "admin listener"},
		"--service clock,nobody":     {stateCritical, "MB CRITICAL - no service nobody |"},
		"--over 1ms --dropped 0,1":   {stateOK, "dropped=0;0;1;0 "},
		"--latency 5":                {stateUnknown, "WARNING,CRITICAL such as 50ms,500ms"},
		"--latency 2s,1s":            {stateUnknown, "not above the critical"},
		"--queued ,":                 {stateUnknown, "at least one"},
		"--queued -1":                {stateUnknown, "such as 100,1000"},
		"--nonsense":                 {stateUnknown, "unknown flag"},
		"--over -1s":                 {stateUnknown, "--over must not be negative"},
		"nonsense":                   {stateUnknown, "nonsense"},
		"--timeout 0s":               {stateUnknown, "--timeout must be positive"},
		"--server tcp://127.0.0.1:1": {stateCritical, "refused"},
	} {
		i := start(t, "", append([]string{"check"}, strings.Fields(args)...)...).wait(tc.state)
		text := i.stdout.String()
		if !strings.Contains(text, tc.want) || strings.Count(text, "\n") != 1 {
			t.Errorf("%s: printed %q, want %q in one line", args, text, tc.want)
		}
		if said := i.stderr.String(); said != "" {
			t.Errorf("%s: %q on standard error", args, said)
		}
	}
}

// A node that takes the connection and says nothing is critical when the time is over.
func TestCheckSilent(t *testing.T) {
	newBroker(t, clienttest.Options{Silent: true})
	text := start(t, "", "check", "--timeout", "20ms").wait(stateCritical).stdout.String()
	if !strings.HasPrefix(text, "MB CRITICAL - ") || strings.Count(text, "\n") != 1 {
		t.Errorf("printed %q", text)
	}
	i := start(t, "", "check", "--timeout", "1m")
	time.Sleep(time.Millisecond) // It may be anywhere on its way: the verdict is the same.
	i.stop()
	i.wait(stateUnknown)
}

// What the node tells of single connections counts when it tells it.
func TestCheckBacklog(t *testing.T) {
	services(t, `{"id":"a"}`)
	start(t, "", "check", "--backlog", "1MiB").wait(stateUnknown).
		wantLine("MB UNKNOWN - backlog is not told by the node |")
	start(t, "", "check", "--backlog", "1", "--service", "x").
		wait(stateCritical).
		wantLine("MB CRITICAL - backlog is not told by the node, no service x |")
	services(t, `{"id":"a","backlogBytes":10},{"id":"b","backlogBytes":5242880},{"id":"c"}`)
	text := start(t, "", "check", "--backlog", "1MiB,4MiB").wait(stateCritical).stdout.String()
	if !strings.Contains(text, "backlog 5.0 MiB above 4.0 MiB |") ||
		!strings.Contains(text, "backlog=5242880B;1048576;4194304;0") {
		t.Errorf("printed %q", text)
	}
}

// wantLine checks that the one line on standard output begins so.
func (i *invocation) wantLine(begin string) {
	i.t.Helper()
	if text := i.stdout.String(); !strings.HasPrefix(text, begin) ||
		strings.Count(text, "\n") != 1 {
		i.t.Errorf("printed %q, want %q first, in one line", text, begin)
	}
}

func TestLimit(t *testing.T) {
	for text, want := range map[string][3]int{ // the states of 1, 2 and 3
		"1,2": {stateOK, stateWarning, stateCritical},
		"2":   {stateOK, stateOK, stateWarning},
		",2":  {stateOK, stateOK, stateCritical},
		"0,0": {stateCritical, stateCritical, stateCritical},
		"2,2": {stateOK, stateOK, stateCritical},
	} {
		l := limit{unit: plain}
		if err := l.Set(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		for i, state := range want {
			if got, _ := l.state(float64(i + 1)); got != state {
				t.Errorf("%q of %d: %s", text, i+1, stateNames[got])
			}
		}
	}
	for u, text := range map[*unit]string{
		&plain: "NaN", &seconds: "5", &size: "5 XB", &percent: "x%",
	} {
		l := limit{unit: *u}
		if err := l.Set(text); err == nil || !strings.Contains(err.Error(), "such as") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
