package main

import (
	"regexp"
	"strings"
	"testing"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

func TestConnections(t *testing.T) {
	n := newNode(t)
	clock, news := clockAndNews(t, n)
	lines := start(t, "", "connections", "--sort", "name").wait(exitOK).stdout.lines()
	heading := regexp.MustCompile("" +
		`^ID +NAME +TRANSPORT +AGE +IDLE +OUTSTANDING +QUEUED +REMOTE +BACKLOG +DROPPED ` +
		`+DESCRIPTION$`)
	row := regexp.MustCompile(`^` + clock.ServiceID() +
		`  clock +tcp +0s +0s +0 +0 +127\.0\.0\.1:\d+ +0 B +0 +clock$`)
	if len(lines) != 4 || !heading.MatchString(lines[0]) || !row.MatchString(lines[1]) ||
		!strings.Contains(lines[3], "(this command)") {
		t.Errorf("table %q", lines)
	}
	for _, tc := range []struct {
		args string
		want []string // IDs; "" is any
	}{
		{"--filter CLO", []string{clock.ServiceID()}},
		{"--filter " + news.ServiceID(), []string{news.ServiceID()}},
		{"--filter nobody", nil},
		{"--sort name --limit 2", []string{clock.ServiceID(), news.ServiceID()}},
		{"--sort name --reverse", []string{"", news.ServiceID(), clock.ServiceID()}},
		{"--sort age", []string{"", "", ""}},
	} {
		got := start(t, "", append([]string{"connections", "--json"},
			strings.Fields(tc.args)...)...).wait(exitOK).stdout.String()
		rows := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		if got == "" {
			rows = nil
		}
		if len(rows) != len(tc.want) {
			t.Errorf("%s: %q", tc.args, got)
			continue
		}
		for i, id := range tc.want {
			if !strings.Contains(rows[i], `"id":"`+id) {
				t.Errorf("%s: row %d is %s, not %s", tc.args, i, rows[i], id)
			}
		}
	}
	start(t, "", "connections", "--sort", "colour").wait(exitUsage).
		wantErr(`--sort "colour": must be load, `)
	start(t, "", "connections", "--limit", "-1").wait(exitUsage)
	complete := start(t, "", "__complete", "connections", "--sort", "o").wait(exitOK)
	if text := complete.stdout.String(); !strings.Contains(text, "outstanding\n") {
		t.Errorf("completion of --sort o: %q", text)
	}
}

// services answers system.service.list with rows.
func services(t *testing.T, rows string) {
	newBroker(t, clienttest.Options{
		Intercept: func(c *clienttest.Conn, h *codec.Header, _ []byte) bool {
			if string(h.Topic) != "system.service.list" {
				return false
			}
			c.Send("response:system.service.list:1.0.0:"+string(h.RequestID),
				[]byte(`{"status":"success","services":[`+rows+`]}`))
			return true
		},
	})
}

// What only some nodes tell, or only to some, is shown when it is told; the clock is the node's.
func TestConnectionsTold(t *testing.T) {
	services(t, `{"id":"a","name":"quick\u001b[2J","description":"d","transport":"wss",`+
		`"connectedAt":"2026-01-01T00:00:00.000Z","lastHeartbeat":"2026-01-02T03:00:00.000Z",`+
		`"outstanding":1,"queued":0,"remote":"[::1]:9","identity":"anna","backlogBytes":0,`+
		`"backlogMessages":0,"dropped":0,"nodeId":"n"},`+
		`{"id":"b","name":"","transport":"tcp","connectedAt":"?","lastHeartbeat":"",`+
		`"outstanding":0,"queued":7,"remote":"[::1]:10","backlogBytes":5242880,"dropped":12345}`)
	lines := start(t, "", "connections").wait(exitOK).stdout.lines()
	want := regexp.MustCompile(`REMOTE +IDENTITY +BACKLOG +DROPPED +NODE +DESCRIPTION\n` +
		`b +- +tcp .* 0 +7 +\[::1\]:10 +- +5.0 MiB +12.3 k +- +-\n` +
		`a +quick\\u001b\[2J +wss +1d 3h +0s +1 +0 +\[::1\]:9 +anna +0 B +0 +n +d$`)
	if !want.MatchString(strings.Join(lines, "\n")) {
		t.Errorf("table %q", lines)
	}
}
