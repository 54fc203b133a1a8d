package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/term"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// tokens is a broker that notes the credentials it is shown.
func tokens(t *testing.T) (b *clienttest.Broker, got func() string) {
	t.Helper()
	var seen buffer
	intercept := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		if string(h.Topic) != "system.auth" {
			return false
		}
		_, _ = seen.Write(append(payload, '\n')) // A buffer takes everything.
		c.Send("response:system.auth:1.0.0:"+string(h.RequestID), []byte(`{"status":"success"}`))
		return true
	}
	b = newBroker(t, clienttest.Options{Intercept: intercept})
	return b, func() string {
		all := strings.NewReplacer(`{"token":"`, "", `"}`, "", "\n", " ").Replace(seen.String())
		seen.mu.Lock()
		seen.all.Reset()
		seen.mu.Unlock()
		return strings.TrimSpace(all)
	}
}

func TestContexts(t *testing.T) {
	b, shown := tokens(t)
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("MB_SERVER", "")
	start(t, "", "context", "list").wait(exitOK).wantOut("").wantErr("no context is saved")
	start(t, "secret\n", "context", "add", "here", "--server", b.URL("tcp"), "--token", "-").
		wait(exitOK).wantErr("saved here")
	start(t, "", "context", "add", "gone", "--server", "127.0.0.1:1", "--use").wait(exitOK)
	path := filepath.Join(home, "mb", "contexts.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	list := regexp.MustCompile(`^  NAME +SERVER +CREDENTIAL +CA +CERTIFICATE
\* gone +tcp://127.0.0.1:1 +no +- +-
  here +tcp://[0-9.:]+ +yes +- +-
$`)
	if got := start(t, "", "context", "list").wait(exitOK).stdout.String(); !list.MatchString(got) {
		t.Errorf("%s", got)
	}
	i := start(t, "", "context", "list", "--json").wait(exitOK)
	if got := i.stdout.lines(); len(got) != 2 || strings.Contains(i.stdout.String(), "secret") ||
		got[0] != `{"name":"gone","server":"tcp://127.0.0.1:1","credential":false,"default":true}` {
		t.Errorf("%q", got)
	}
	for _, tc := range []struct {
		args   string
		server string // MB_SERVER
		token  string // MB_TOKEN
		code   int
		want   string // the credential that the broker is shown
	}{
		{"topics", "", "", exitError, ""},
		{"topics --context here", "", "", exitOK, "secret"},
		{"topics --context here", "tcp://127.0.0.1:1", "other", exitOK, "secret"},
		{"topics --context here --token mine", "", "", exitOK, "mine"},
		{"topics --context her", "", "", exitUsage, ""},
		{"topics --context here --server " + b.URL("tcp"), "", "", exitUsage, ""},
		{"topics --server " + b.URL("tcp"), "", "", exitOK, ""},
		{"topics", b.URL("tcp"), "", exitOK, ""},
		{"topics", b.URL("tcp"), "other", exitOK, "other"},
		{"context use here", "", "", exitOK, ""},
		{"topics", "", "", exitOK, "secret"},
		{"topics", "", "other", exitOK, "other"},
		{"topics", b.URL("tcp"), "", exitOK, ""},
		{"topics --server " + b.URL("tcp"), "", "", exitOK, ""},
		{"context use her", "", "", exitUsage, ""},
		{"context add here --server tcp://x", "", "", exitUsage, ""},
		{"context add new", "", "", exitUsage, ""},
		{"context add new --server tcp://user:secret@x", "", "", exitUsage, ""},
		{"context add a/b --server tcp://x", "", "", exitUsage, ""},
		{"context add new --server http://x", "", "", exitUsage, ""},
		{"context remove here", "", "", exitOK, ""},
		{"context remove here", "", "", exitUsage, ""},
	} {
		t.Setenv("MB_SERVER", tc.server)
		t.Setenv("MB_TOKEN", tc.token)
		start(t, "", strings.Fields(tc.args)...).wait(tc.code)
		if got := shown(); got != tc.want {
			t.Errorf("%s: the broker was shown %q, want %q", tc.args, got, tc.want)
		}
	}
	start(t, "\n", "context", "add", "empty", "--server", "tcp://x", "--token", "-").
		wait(exitError).wantErr("0 bytes")
	start(t, "", "topics", "--context", "here").wait(exitUsage).
		wantErr(`no context is called "here"`)
}

// What is typed as a credential is not shown, and a signal leaves the terminal
// as it was.
func TestContextTypedToken(t *testing.T) {
	newBroker(t, clienttest.Options{})
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	s := newScreen(t)
	state, err := term.GetState(int(s.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	before := *state // Of any terminal: it shows what is typed.
	add := []string{"context", "add", "a", "--server", "tcp://x", "--token", "-"}
	i := startOn(t, s.tty, s.tty, s.tty, add...)
	s.shows(t, "credential: ")
	untouched := func() bool {
		now, err := term.GetState(int(s.tty.Fd()))
		return err == nil && *now == before
	}
	eventually(t, "hidden", func() bool { return !untouched() })
	i.stop()
	i.wait(exitInterrupted)
	if !untouched() {
		t.Error("the terminal is not as it was")
	}
	s.shows(t, "mb: interrupted at the credential")
	// The line ends what still reads, which then shows what is typed there. What
	// is asked next has a terminal of its own.
	if _, err := s.keys.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	s = newScreen(t)
	i = startOn(t, s.tty, s.tty, s.tty, add...)
	eventually(t, "hidden", func() bool { return !untouched() })
	if _, err := s.keys.WriteString("secret\n"); err != nil {
		t.Fatal(err)
	}
	i.wait(exitOK)
	s.shows(t, "saved a")
	if strings.Contains(s.text.String(), "secret") {
		t.Errorf("%q", s.text.String())
	}
}

func TestContextFileFaults(t *testing.T) {
	b, _ := tokens(t)
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	start(t, "", "context", "add", "a", "--server", b.URL("tcp"), "--token", "t", "--use").
		wait(exitOK)
	path := filepath.Join(home, "mb", "contexts.json")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, "", "topics", "--context", "a").wait(exitOK).wantErr("others can read it: chmod 600")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "", "topics").wait(exitOK) // MB_SERVER goes before it
	t.Setenv("MB_SERVER", "")
	start(t, "", "topics").wait(exitError).wantErr(path)
	start(t, "", "topics", "--server", b.URL("tcp")).wait(exitOK)
	start(t, "", "context", "list").wait(exitError).wantErr(path)
	start(t, "", "completion", "bash").wait(exitOK) // what does not connect does not care
	start(t, "", "bench", "list").wait(exitOK)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "")
	start(t, "", "topics", "--timeout", "1ns").wait(exitError) // the default; no folder is no error
	start(t, "", "topics", "--context", "a").wait(exitError).wantErr("no folder for the contexts")
}
