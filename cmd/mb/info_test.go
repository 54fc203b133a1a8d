package main

import (
	"encoding/json"
	"strings"
	"testing"

	"mbserver/client/clienttest"
)

func TestInfo(t *testing.T) {
	n := newNode(t)
	clockAndNews(t, n)
	text := start(t, "", "info").wait(exitOK).stdout.String()
	for _, want := range []string{
		"SERVER           tcp://127.0.0.1:", "\nnode             ",
		"\nversion          1.2.3-test\n",
		"\nuptime           ", "\nconnections      3\n", "\nlargest payload  16 KiB\n",
		"\nlongest timeout  1h 0m\n", "0 requests, of 10,000\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
	var i about
	line := start(t, "", "info", "--json").wait(exitOK).stdout.String()
	if err := json.Unmarshal([]byte(line), &i); err != nil {
		t.Fatal(err)
	}
	if len(i.NodeID) != 36 || i.Version != "1.2.3-test" || i.RoundTrip <= 0 || i.Memory <= 0 ||
		i.Limits.PayloadBytes != 16384 || i.Connections < 3 {
		t.Errorf("%+v", i)
	}
}

// What a broker does not tell is not made up.
func TestInfoOfAnother(t *testing.T) {
	newBroker(t, clienttest.Options{Welcome: []byte(`{}`)})
	text := start(t, "", "info").wait(exitOK).stdout.String()
	for _, want := range []string{
		"node             -\n", "largest payload  not told\n", "of not told",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
}
