package top

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/creack/pty"
	"golang.org/x/term"

	"mbserver/cmd/mb/observe"
)

// pseudoterminal is one, and what was written to it.
type pseudoterminal struct {
	t        *testing.T
	keyboard *os.File // of the user
	tty      *os.File // of the program
	before   *term.State

	mu      sync.Mutex
	written strings.Builder // Guarded by mu.
}

func newTerminal(t *testing.T) *pseudoterminal {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	x := &pseudoterminal{t: t, keyboard: keyboard, tty: tty}
	if x.before, err = term.GetState(int(tty.Fd())); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 1<<16)
		for {
			n, err := keyboard.Read(buf)
			if err != nil {
				return
			}
			x.mu.Lock()
			x.written.Write(buf[:n])
			x.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_, _ = tty.Close(), keyboard.Close()
		<-read
	})
	return x
}

// await waits until the program has written text.
func (x *pseudoterminal) await(text string) {
	x.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		x.mu.Lock()
		written := x.written.String()
		x.mu.Unlock()
		if strings.Contains(written, text) {
			return
		}
		if time.Now().After(end) {
			x.t.Fatalf("%q never came: %q", text, written)
		}
	}
}

// press types.
func (x *pseudoterminal) press(keys string) {
	x.t.Helper()
	if _, err := x.keyboard.WriteString(keys); err != nil {
		x.t.Error(err)
	}
}

// Sequences that a program which uses the whole screen begins and ends with.
const (
	enterScreen = "\x1b[?1049h"
	leaveScreen = "\x1b[?1049l"
	showCursor  = "\x1b[?25h"
)

// restored checks that the terminal is as it was.
func (x *pseudoterminal) restored() {
	x.t.Helper()
	x.await(leaveScreen)
	x.await(showCursor)
	after, err := term.GetState(int(x.tty.Fd()))
	if err != nil {
		x.t.Fatal(err)
	}
	if *after != *x.before {
		x.t.Errorf("the terminal is left changed: %+v, it was %+v", after, x.before)
	}
}

// options are those of a node that answers at once.
func options() Options {
	start := time.Now()
	return Options{
		Interval: 5 * time.Millisecond, Server: "tcp://broker", Order: "load",
		Source: func(context.Context, bool) (*observe.Sample, error) {
			s := sampleAt(0, 3)
			s.At, s.Took = time.Now(), 0
			s.Figures[observe.Uptime] = time.Since(start).Seconds()
			return s, nil
		},
	}
}

// raw reports whether the terminal is in the hands of the program.
func (x *pseudoterminal) raw() bool {
	now, err := term.GetState(int(x.tty.Fd()))
	return err == nil && *now != *x.before
}

func TestRunGivesTheTerminalBack(t *testing.T) {
	for name, end := range map[string]func(x *pseudoterminal, cancel func()){
		"key":    func(x *pseudoterminal, _ func()) { x.press("q") },
		"ctrl+c": func(x *pseudoterminal, _ func()) { x.press("\x03") },
		"signal": func(_ *pseudoterminal, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			x := newTerminal(t)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- Run(ctx, x.tty, x.tty, options()) }()
			x.await(enterScreen)
			x.await("[1 connections]")
			if !x.raw() {
				t.Error("it reads whole lines, not keys")
			}
			end(x, cancel)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			x.restored()
		})
	}
}

// A terminal that becomes larger is used.
func TestRunResizes(t *testing.T) {
	x := newTerminal(t)
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), x.tty, x.tty, options()) }()
	x.await("[1 connections]")
	x.mu.Lock()
	if strings.Contains(x.written.String(), "DESCRIPTION") {
		t.Error("there is room for the last column in 80")
	}
	x.mu.Unlock()
	if err := pty.Setsize(x.tty, &pty.Winsize{Rows: 40, Cols: 160}); err != nil {
		t.Fatal(err)
	}
	// The kernel tells the processes whose terminal it is; of the test it is not.
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	x.await("DESCRIPTION")
	x.press("q")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	x.restored()
}

// panicking is a screen with a fault, which shows when a key is pressed.
type panicking struct {
	*model
	where   string
	pressed bool
}

func (p *panicking) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if _, ok := msg.(tea.KeyPressMsg); ok {
		p.pressed = true
		switch p.where {
		case "command":
			return p, func() tea.Msg { panic("in a command") }
		case "update":
			panic("in an update")
		}
	}
	_, cmd := p.model.Update(msg)
	return p, cmd
}

func (p *panicking) View() tea.View {
	if p.where == "view" && p.pressed {
		panic("in the view")
	}
	return p.model.View()
}

// panicEnv makes the test's own program a screen that panics there: after a panic the library does
// not wait for whoever reads the keyboard, which only the end of a process ends.
const panicEnv = "MB_TOP_TEST_PANIC"

// panicOnTerminal is that program.
func panicOnTerminal(where string) {
	ctx := context.Background()
	err := show(ctx, os.Stdin, os.Stdout, &panicking{model: newModel(ctx, options()), where: where})
	if !errors.Is(err, tea.ErrProgramPanic) {
		os.Exit(1)
	}
	os.Exit(panicked)
}

// panicked is its exit code when all went as it should.
const panicked = 9

func TestPanicGivesTheTerminalBack(t *testing.T) {
	for _, where := range []string{"command", "update", "view"} {
		t.Run(where, func(t *testing.T) {
			x := newTerminal(t)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), panicEnv+"="+where, "TERM=xterm-256color")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = x.tty, x.tty, x.tty
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			x.await("[1 connections]")
			if !x.raw() {
				t.Error("it reads whole lines, not keys")
			}
			x.press("!")
			_ = cmd.Wait() // The code says how it ended.
			if code := cmd.ProcessState.ExitCode(); code != panicked {
				t.Errorf("exit code %d", code)
			}
			x.restored()
		})
	}
}
