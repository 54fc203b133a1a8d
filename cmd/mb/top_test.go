package main

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"mbserver/client/clienttest"
)

func TestTopText(t *testing.T) {
	n := newNode(t)
	clockAndNews(t, n)
	text := start(t, "", "top").wait(exitOK).stdout.String()
	for _, want := range []string{
		"mb top  tcp://127.0.0.1:", "  1.2.3-test  up ", "\nin         ", "connected  3",
		"out        -", "\nclock ", "\nnews.weather ", "\ntime.now ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	// What goes out is known from the second snapshot on, of the admin listener.
	text = start(t, "", "top", "-n", "2", "-i", "100ms", "--admin", n.Addr("admin")).
		wait(exitOK).stdout.String()
	if strings.Count(text, "mb top") != 2 || strings.Count(text, "out        -") != 1 ||
		strings.Count(text, "\nslow       0") != 2 || strings.Count(text, "bytes out") != 1 {
		t.Errorf("two snapshots:\n%s", text)
	}
}

func TestTopJSON(t *testing.T) {
	n := newNode(t)
	clock, _ := clockAndNews(t, n)
	i := start(t, "", "top", "--json", "-i", "100ms", "--sort", "name", "--admin", n.Addr("admin"))
	eventually(t, "two lines", func() bool { return strings.Count(i.stdout.String(), "\n") >= 2 })
	i.stop()
	i.wait(exitOK)
	var s struct {
		Time, NodeID, Version string
		Connections, Uptime   float64
		Rates                 struct {
			In  float64
			Out *float64
		}
		Busiest []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(i.stdout.lines()[1]), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.NodeID) != 36 || s.Version != "1.2.3-test" || s.Uptime <= 0 || s.Rates.In <= 0 ||
		s.Rates.Out == nil || s.Connections < 3 || s.Busiest[0].ID != clock.ServiceID() {
		t.Errorf("%s", i.stdout.lines()[1])
	}
	i = start(t, "", "top", "--json", "-n", "1000")
	eventually(t, "a line", func() bool { return i.stdout.String() != "" })
	i.stop()
	i.wait(exitInterrupted).wantErr(" of 1,000 snapshots")
}

func TestTopUsage(t *testing.T) {
	other := newNode(t).Addr("admin")
	newNode(t)
	start(t, "", "top", "-i", "1ms").wait(exitUsage).wantErr("--interval")
	start(t, "", "top", "-n", "-1").wait(exitUsage)
	start(t, "", "top", "--sort", "colour").wait(exitUsage)
	start(t, "", "top", "x").wait(exitUsage)
	start(t, "", "top", "--admin", "127.0.0.1:1").wait(exitError).wantErr("refused")
	start(t, "", "top", "--admin", other).wait(exitError).wantErr("is another node's")
	start(t, "", "top", "--admin", "off").wait(exitOK)
	b := newBroker(t, clienttest.Options{})
	b.StopListening()
	start(t, "", "top").wait(exitError).wantErr("refused")
}

// On a terminal it shows the screen, and gives the terminal back whatever signal ends it.
func TestTopTerminal(t *testing.T) {
	newNode(t)
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		cmd := command("top", "-i", "100ms", "--admin", "off")
		cmd.Env = append(cmd.Env, "TERM=xterm-256color")
		keyboard, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
		if err != nil {
			t.Fatal(err)
		}
		written := readUntil(t, keyboard, "[1 connections]")
		if err := cmd.Process.Signal(end); err != nil {
			t.Error(err)
		}
		written += readUntil(t, keyboard, "")
		ended := cmd.Wait()
		_ = keyboard.Close()
		_, after, _ := strings.Cut(written, "mb top  tcp://")
		if ended != nil || !strings.Contains(written, "\x1b[?1049h") ||
			!strings.Contains(after, "\x1b[?1049l") || !strings.Contains(after, "\x1b[?25h") {
			t.Errorf("%v: %v, written %q", end, ended, written)
		}
	}
}

// readUntil reads what is shown until text has come; "" is until the end.
func readUntil(t *testing.T, terminal *os.File, text string) string {
	t.Helper()
	var all []byte
	buf := make([]byte, 1<<16)
	for text == "" || !strings.Contains(string(all), text) {
		n, err := terminal.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			if text != "" {
				t.Fatalf("%v; %q never came: %q", err, text, all)
			}
			break
		}
	}
	return string(all)
}
