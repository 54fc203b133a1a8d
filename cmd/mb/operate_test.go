package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"mbserver/client"
	"mbserver/server"
	"mbserver/server/config"
)

// operatedNode is a node on which whoever is on its machine may act on others.
func operatedNode(t *testing.T) *server.Node {
	t.Helper()
	cfg := config.Default()
	cfg.Admin.Operator = true
	n := startNode(t, cfg)
	t.Setenv("MB_TOKEN", "")
	t.Setenv("MB_SERVER", "tcp://"+n.Addr("tcp"))
	return n
}

// mb kick closes the connection that is meant and no other, and says what it did.
func TestKick(t *testing.T) {
	n := operatedNode(t)
	clock, news := clockAndNews(t, n)
	id := clock.ServiceID()
	start(t, "", "kick", "watch").wait(exitError).wantErr(`no service is called "watch"`)
	start(t, "", "kick").wait(exitUsage)
	start(t, "", "kick", "clock", "--reason", strings.Repeat("x", 201)).wait(exitError).
		wantErr("INVALID_REQUEST", "200 characters")
	start(t, "", "kick", "clock", "--reason", "too loud").wait(exitOK).
		wantOut("kicked " + id + " (clock)\n")
	eventually(t, "it is not connected", func() bool { return !clock.Connected() })
	i := start(t, "", "kick", id, "--json").wait(exitError)
	if text := i.stderr.String(); !strings.Contains(text, `"reason":"unknown"`) {
		t.Errorf("kicked again: %s", text)
	}
	start(t, "", "kick", strings.ToUpper(news.ServiceID()), "--json").wait(exitOK).
		wantOut(`{"done":"kicked","serviceId":"` + news.ServiceID() + `"}` + "\n")
}

// A name that several have is refused, with who they are.
func TestActOnOneOfSeveral(t *testing.T) {
	n := operatedNode(t)
	one, other := dialNode(t, n, "clock"), dialNode(t, n, "clock")
	for _, args := range [][]string{
		{"kick", "clock"}, {"mute", "clock"}, {"unsubscribe", "clock", "a"},
	} {
		start(t, "", args...).wait(exitError).
			wantErr("2 services are called", one.ServiceID(), other.ServiceID(), "127.0.0.1:")
	}
	if !one.Connected() || !other.Connected() {
		t.Error("one is gone")
	}
}

func TestMute(t *testing.T) {
	n := operatedNode(t)
	clock, _ := clockAndNews(t, n)
	id := clock.ServiceID()
	for _, wrong := range []string{"-1s", "25h", "1us", "long"} {
		start(t, "", "mute", "clock", "--for", wrong).wait(exitUsage).wantErr("--for")
	}
	start(t, "", "mute", "clock", "--for", "90s").wait(exitOK).
		wantOut("muted " + id + " (clock) for 1m30s\n")
	err := clock.Publish(context.Background(), "news.x", nil)
	if err == nil {
		_, err = clock.PublishAck(context.Background(), "news.x", nil)
	}
	var e *client.Error
	if !errors.As(err, &e) || e.Code != client.CodeForbidden || e.Details["reason"] != "muted" {
		t.Errorf("muted: %v", err)
	}
	start(t, "", "mute", id, "--for", "0", "--json").wait(exitOK).
		wantOut(`{"done":"unmuted","serviceId":"` + id + `","durationMs":0}` + "\n")
	if _, err := clock.PublishAck(context.Background(), "news.x", nil); err != nil {
		t.Errorf("unmuted: %v", err)
	}
}

func TestUnsubscribe(t *testing.T) {
	n := operatedNode(t)
	_, news := clockAndNews(t, n)
	id := news.ServiceID()
	start(t, "", "unsubscribe", "news").wait(exitUsage)
	start(t, "", "unsubscribe", "news", "a..b").wait(exitUsage)
	start(t, "", "unsubscribe", "news", "a", "--action", "answer").wait(exitUsage)
	start(t, "", "unsubscribe", "news", "News.#", "--action", "publish").wait(exitOK).
		wantOut("unsubscribed " + id + " (news) from news.#: 1 subscription\n")
	start(t, "", "unsubscribe", "news", "news.#", "--json").wait(exitOK).
		wantOut(`{"done":"unsubscribed","serviceId":"` + id + `","name":"news",` +
			`"topic":"news.#","ended":0}` + "\n")
	list := start(t, "", "subscriptions", "--json", "--service", "news").wait(exitOK)
	text := list.stdout.String()
	if strings.Contains(text, `"news.#"`) || !strings.Contains(text, `"news.weather"`) {
		t.Errorf("subscribed to %s", text)
	}
}

// Where the node asks who somebody is, the word admin is asked for, over the wire and on the admin
// listener; a node that asks nobody takes nothing of that.
func TestActAsWho(t *testing.T) {
	cfg := config.Default()
	cfg.Permissions.Roles = config.Roles{}
	for identity, words := range map[string][]string{
		"operator": {"admin", "service.list"}, "viewer": {"service.list", "connection"},
	} {
		sum := sha256.Sum256([]byte(identity))
		cfg.Auth.Tokens = append(cfg.Auth.Tokens, config.Token{
			Identity: identity, SHA256: hex.EncodeToString(sum[:]), Roles: []string{identity},
		})
		cfg.Permissions.Roles[identity] = config.Role{System: words}
	}
	n := startNode(t, cfg)
	server, admin := "tcp://"+n.Addr("tcp"), n.Addr("admin")
	k, err := client.Dial(context.Background(), server, client.WithToken("viewer"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	id := k.ServiceID()
	open := "tcp://" + newNode(t).Addr("tcp")
	for _, row := range []struct {
		args, token string
		code        int
		want        string
	}{
		{"mute " + id + " --for 0", "viewer", exitError, "FORBIDDEN"},
		{"kick " + id, "viewer", exitError, "FORBIDDEN"},
		{"unsubscribe " + id + " a", "viewer", exitError, "FORBIDDEN"},
		{"drain", "viewer", exitError, "FORBIDDEN"},
		{"drain --admin " + admin, "viewer", exitError, "word admin"},
		{"drain --admin " + admin, "", exitError, "credentials"},
		{"kick " + id + " --server " + open, "", exitError, "admin.operator"},
		{"mute " + id + " --for 0", "operator", exitOK, "unmuted"},
		{"kick " + id, "operator", exitOK, "kicked"},
		{"drain --rate 5", "operator", exitOK, "draining\n"},
		{"drain", "operator", exitError, "draining already"},
		{"drain --cancel --json", "operator", exitOK, `{"state":"ready"}` + "\n"},
		{"drain --admin " + admin, "operator", exitOK, "draining\n"},
		{"drain --cancel --admin " + admin, "operator", exitOK, "ready\n"},
	} {
		t.Setenv("MB_SERVER", server)
		t.Setenv("MB_TOKEN", row.token)
		i := start(t, "", strings.Fields(row.args)...).wait(row.code)
		if said := i.stdout.String() + i.stderr.String(); !strings.Contains(said, row.want) {
			t.Errorf("mb %s as %q: %q", row.args, row.token, said)
		}
	}
}
