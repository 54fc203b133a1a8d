package main

import (
	"strings"
	"testing"
)

func TestSubscriptions(t *testing.T) {
	n := newNode(t)
	_, news := clockAndNews(t, n)
	other := dialNode(t, n, "")
	subscribeTo(t, other, "news.#")
	both := whoOf(t, news.ServiceID(), other.ServiceID())
	start(t, "", "subscriptions").wait(exitOK).wantOut("" +
		"TOPIC         ACTION   SUBSCRIBERS  WHO\n" +
		"news.#        publish  2            " + both + "\n" +
		"news.weather  publish  1            news\n" +
		"sport.+       publish  1            news\n" +
		"time.now      request  1            clock\n")
	for args, want := range map[string]string{
		"--topic News.Weather": "news.# 2,news.weather 1",
		"--topic sport":        "",
		"--topic time.now":     "time.now 1",
		"--action request":     "time.now 1",
		"--service NEWS":       "news.# 1,news.weather 1,sport.+ 1",
		"--service " + other.ServiceID() + " --action publish": "news.# 1",
		"--filter WEATHER":                         "news.weather 1",
		"--sort subscribers --limit 1":             "news.# 2",
		"--sort topic --reverse --limit 1":         "time.now 1",
		"--service clock --topic time.now --quiet": "time.now 1",
	} {
		i := start(t, "", append([]string{"subscriptions"}, strings.Fields(args)...)...).
			wait(exitOK)
		var got []string
		for _, line := range i.stdout.lines()[1:] {
			f := strings.Fields(line)
			got = append(got, f[0]+" "+f[2])
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	start(t, "", "subscriptions", "--topic", "sport").wait(exitOK).
		wantErr("nobody subscribes to sport")
	start(t, "", "subscriptions", "--topic", "time.now", "--json").wait(exitOK).
		wantOut(`{"topic":"time.now","action":"request","subscribers":[{"serviceId":"` +
			serviceOf(t, "time.now") + `","name":"clock","priority":0}]}` + "\n")
	start(t, "", "subscriptions", "--topic", "time.now", "--each").wait(exitOK).wantOut("" +
		"TOPIC     ACTION   PRIORITY  NAME   ID                                    NODE\n" +
		"time.now  request  0         clock  " + serviceOf(t, "time.now") + "  -\n")
	start(t, "", "subscriptions", "--service", "news", "--filter", "sport", "--each", "--json").
		wait(exitOK).wantOut(`{"topic":"sport.+","action":"publish","serviceId":"` +
		news.ServiceID() + `","name":"news"}` + "\n")
	start(t, "", "subscriptions", "--topic", "a.+").wait(exitUsage).wantErr("--topic: ")
	start(t, "", "subscriptions", "--action", "answer").wait(exitUsage).
		wantErr("any, publish or request")
}

// serviceOf is the ID of the one subscriber.
func serviceOf(t *testing.T, topic string) string {
	t.Helper()
	line := start(t, "", "subscriptions", "--topic", topic, "--each").wait(exitOK).stdout.lines()[1]
	fields := strings.Fields(line)
	return fields[len(fields)-2] // before its node
}

// whoOf is how two subscribers of a pattern are named, in the node's order.
func whoOf(t *testing.T, named, unnamed string) string {
	t.Helper()
	lines := start(t, "", "subscriptions", "--filter", "news.#", "--each").
		wait(exitOK).stdout.lines()
	if strings.Contains(lines[1], named) {
		return "news, " + unnamed[:8]
	}
	return unnamed[:8] + ", news"
}
