package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"mbserver/client/clienttest"
)

// keeper is a broker that knows anna by the token "s3cret".
func keeper(t *testing.T) *clienttest.Broker {
	t.Helper()
	end := time.Now().Add(48*time.Hour + time.Minute)
	return newBroker(t, clienttest.Options{
		Authenticate: func(token string) (clienttest.Grant, *clienttest.Refusal) {
			switch token {
			case "s3cret":
				return clienttest.Grant{Identity: "anna"}, nil
			case "ends":
				return clienttest.Grant{Identity: "bob", Expires: end}, nil
			case "locked":
				return clienttest.Grant{}, &clienttest.Refusal{
					Reason: "locked_out", RetryAfter: time.Minute}
			}
			return clienttest.Grant{}, &clienttest.Refusal{Reason: "invalid"}
		},
	})
}

func TestTokenNew(t *testing.T) {
	newBroker(t, clienttest.Options{})
	i := start(t, "", "token", "new", "--identity", `a "b"`, "--roles", "x,y",
		"--expires", "2100-01-31").wait(exitOK)
	token := strings.TrimSuffix(i.stdout.String(), "\n")
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(token) {
		t.Errorf("the token is %q", token)
	}
	hash := start(t, token+"\n", "token", "hash").wait(exitOK).stdout.lines()[0]
	want := "# for the broker's configuration file:\nauth:\n  tokens:\n" +
		`    - identity: "a \"b\""` + "\n" + `      sha256: "` + hash + `"` + "\n" +
		`      roles: ["x","y"]` + "\n" + `      expires: "2100-02-01T00:00:00Z"` + "\n"
	if got := i.stderr.String(); got != want || strings.Contains(got, token) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if other := start(t, "", "token", "new", "-q").wait(exitOK); other.stdout.String() ==
		i.stdout.String() || other.stderr.String() != "" {
		t.Errorf("%q, %q", other.stdout.String(), other.stderr.String())
	}
	var m minted
	i = start(t, "", "token", "new", "--json", "--identity", "ci", "--expires", "30d").wait(exitOK)
	if err := json.Unmarshal([]byte(i.stdout.String()), &m); err != nil {
		t.Fatal(err)
	}
	days := time.Until(*m.Expires).Hours() / 24
	if m.Identity != "ci" || m.SHA256 != hashToken(m.Token) || days < 29.9 || days > 30.1 ||
		i.stderr.String() != "" {
		t.Errorf("%+v, %q", m, i.stderr.String())
	}
	for _, expires := range []string{"0d", "-1d", "-1h", "soon", "2001-01-01", "1.5d", "70000d"} {
		start(t, "", "token", "new", "--expires="+expires).wait(exitUsage).wantOut("")
	}
	start(t, "", "token", "new", "--identity", "a\nb").wait(exitUsage).wantOut("")
}

func TestTokenHash(t *testing.T) {
	newBroker(t, clienttest.Options{})
	// That of "abc" in FIPS 180-2, appendix B.1.
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"
	for _, stdin := range []string{"abc", "abc\n", " abc \r\nmore\n"} {
		start(t, stdin, "token", "hash").wait(exitOK).wantOut(abc)
		start(t, stdin, "token", "hash", "--token", "-").wait(exitOK).wantOut(abc)
	}
	t.Setenv("MB_TOKEN", "other")
	start(t, "abc", "token", "hash", "--json").wait(exitOK).
		wantOut(`{"sha256":"` + strings.TrimSpace(abc) + `"}` + "\n")
	start(t, "", "token", "hash").wait(exitError).wantErr("0 bytes")
	long := strings.Repeat("x", maxToken)
	start(t, long, "token", "hash").wait(exitOK)
	start(t, long+"x", "token", "hash").wait(exitError).wantOut("")
}

func TestTokenVerify(t *testing.T) {
	b := keeper(t)
	for _, server := range []string{b.URL("tcp"), b.URL("ws")} {
		t.Setenv("MB_SERVER", server)
		start(t, "s3cret\n", "token", "verify", "--token", "-").wait(exitOK).
			wantOut("IDENTITY  ENDS\nanna      never\n")
		t.Setenv("MB_TOKEN", "ends")
		i := start(t, "", "token", "verify").wait(exitOK)
		if text := i.stdout.String(); !strings.Contains(text, "bob") ||
			!strings.Contains(text, ", in 2d") {
			t.Errorf("%q", text)
		}
		i = start(t, "", "token", "verify", "--json").wait(exitOK)
		var k known
		err := json.Unmarshal([]byte(i.stdout.String()), &k)
		if err != nil || k.Identity != "bob" || k.ExpiresAt == nil || k.Server != server {
			t.Errorf("%q, %v", i.stdout.String(), err)
		}
		t.Setenv("MB_TOKEN", "")
		start(t, "", "token", "verify", "--token", "wr0ng").wait(exitError).wantOut("").
			wantErr("UNAUTHORIZED", "mb token hash")
		start(t, "", "token", "verify", "--token", "locked", "--json").wait(exitError).
			wantErr(`"reason":"locked_out"`, `"retryAfterMs":60000`)
		start(t, "", "token", "verify").wait(exitUsage).wantErr("--token is missing")
	}
	asks := newBroker(t, clienttest.Options{})
	start(t, "", "token", "verify", "--token", "x", "--server", asks.URL("tcp")).wait(exitError).
		wantOut("").wantErr("asks nobody")
}

// Every command that connects shows the token, and tells it to nobody else; without one it
// says how to give it.
func TestTokenEverywhere(t *testing.T) {
	b := keeper(t)
	for _, line := range []string{
		"pub a x", "sub a --count 1 --wait 1ms", "request a x --timeout 50ms", "reply a x -n 1",
		"services", "topics", "metrics", "connections", "subscriptions", "info", "ping -n 1",
		"log -n 1 --wait 1ms", "check", "top --count 1",
		"bench --publishers 1 --duration 1ms",
	} {
		for _, server := range []string{b.URL("tcp"), b.URL("ws")} {
			t.Setenv("MB_SERVER", server)
			args := strings.Fields(line)
			i := start(t, "", append(args, "--token", "s3cret")...)
			if line == "reply a x -n 1" {
				subscribed(t, b, "request a")
				i.stop()
			}
			<-i.ended
			said := i.stdout.String() + i.stderr.String()
			if strings.Contains(said, "UNAUTHORIZED") || strings.Contains(said, "s3cret") {
				t.Errorf("%s with a token: %s", line, said)
			}
			i = start(t, "", args...)
			<-i.ended
			if said = i.stdout.String() + i.stderr.String(); !strings.Contains(said, "--token") ||
				i.code == exitOK {
				t.Errorf("%s without: code %d, %s", line, i.code, said)
			}
			i = start(t, "", append(args, "--token", "wr0ng")...)
			<-i.ended
			if said = i.stdout.String() + i.stderr.String(); strings.Contains(said, "wr0ng") ||
				!strings.Contains(said, "UNAUTHORIZED") || i.code == exitOK {
				t.Errorf("%s with a wrong one: code %d, %s", line, i.code, said)
			}
		}
	}
}

// The line behind the token's is the command's own input.
func TestTokenThenInput(t *testing.T) {
	b := keeper(t)
	sub := start(t, "", "sub", "a", "--count", "2", "--token", "s3cret")
	subscribed(t, b, "publish a")
	start(t, "s3cret\none\ntwo\n", "pub", "a", "--token", "-").wait(exitOK)
	sub.wait(exitOK).wantOut("a one\na two\n")
}

// Whose last subscription the broker has ended has nothing to wait for.
func TestRevoked(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	for _, tc := range []struct{ line, action, ready string }{
		{"sub a b", "publish", "subscribed to"}, {"reply a x", "request", "answering"},
	} {
		i := start(t, "", strings.Fields(tc.line)...)
		eventually(t, tc.ready, func() bool {
			return strings.Contains(i.stderr.String(), tc.ready)
		})
		conn := subscribed(t, b, tc.action+" a")
		if tc.action == "publish" {
			conn.Revoke("publish", "b")
			eventually(t, "a complaint", func() bool {
				return strings.Contains(i.stderr.String(), "FORBIDDEN")
			})
			select {
			case <-i.ended:
				t.Error("ended although one stands")
			default:
			}
		}
		conn.Revoke(tc.action, "a")
		i.wait(exitError).wantErr("FORBIDDEN", " a)")
	}
}
