package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"mbserver/client"
)

const root = "../../.." // of the repository

// built is where make has built the programs, and what it said.
var built = sync.OnceValues(func() (bin string, err error) {
	if bin, err = os.MkdirTemp("", "mb-demo-bin-"); err != nil {
		return "", err
	}
	make := exec.Command("make", "demo-cluster", "BIN="+bin, "DEMOFLAGS=-help")
	make.Dir = root
	out, err := make.CombinedOutput() // -help is an error
	if _, missing := os.Stat(filepath.Join(bin, "demo-cluster")); missing != nil {
		return bin, fmt.Errorf("make demo-cluster: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, _ := built(); bin != "" {
		_ = os.RemoveAll(bin) // the system's temporary directory
	}
	os.Exit(code)
}

// show is the demo as a process.
type show struct {
	t      *testing.T
	cmd    *exec.Cmd
	folder string // for its temporary files
	ended  chan struct{}

	mu   sync.Mutex
	said bytes.Buffer // Guarded by mu.
}

func (s *show) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

func (s *show) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// play starts the demo with little time to look; on tty, if there is one.
func play(t *testing.T, tty *os.File) *show {
	t.Helper()
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	s := &show{t: t, folder: t.TempDir(), ended: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(bin, "demo-cluster"), "-bin", bin, "-look", "300ms",
		"-rate", "500")
	s.cmd.Dir, s.cmd.Env = root, append(os.Environ(), "TMPDIR="+s.folder, "TERM=xterm")
	s.cmd.Stdout, s.cmd.Stderr = s, s
	if tty != nil {
		s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // the state is read from cmd.ProcessState
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended
		<-s.ended
	})
	return s
}

func (s *show) await(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(s.text(), text); {
		select {
		case <-s.ended:
			s.t.Fatalf("it ended before it said %q:\n%s", text, s.text())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%q did not come:\n%s", text, s.text())
		}
	}
}

// wait waits for the end, and returns the exit code.
func (s *show) wait() int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(90 * time.Second):
		s.t.Fatalf("it does not end:\n%s", s.text())
	}
	return s.cmd.ProcessState.ExitCode()
}

var processes = regexp.MustCompile(`process (\d+)`)

// pids are the processes that it has told of.
func (s *show) pids() (all []int) {
	for _, m := range processes.FindAllStringSubmatch(s.text(), -1) {
		pid, _ := strconv.Atoi(m[1])
		all = append(all, pid)
	}
	return all
}

// runs says whether a process does, one that nobody has waited for excepted.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

// nothingLeft checks that of so many processes or more none is left, and no file.
func (s *show) nothingLeft(least int) {
	s.t.Helper()
	pids := s.pids()
	if len(pids) < least {
		s.t.Errorf("it tells of the processes %d:\n%s", pids, s.text())
	}
	for _, pid := range pids {
		if runs(pid) {
			s.t.Errorf("process %d still runs:\n%s", pid, s.text())
		}
	}
	left, err := os.ReadDir(s.folder)
	if err != nil || len(left) > 0 {
		s.t.Errorf("left behind: %v %v", left, err)
	}
}

// What came between two connections is missed, whether the first flight or the news that there is
// a connection again comes first.
func TestHoleIsCounted(t *testing.T) {
	t.Parallel()
	flight := func(n int) client.Message {
		return client.Message{Payload: fmt.Appendf(nil, `{"n":%d,"delay":1}`, n)}
	}
	for _, early := range []bool{true, false} {
		s := &subscriber{first: -1}
		s.take(flight(1))
		s.parted()
		if early {
			s.take(flight(10))
		}
		s.returned()
		s.take(flight(11))
		want := 8
		if !early {
			want = 9
		}
		if a := s.account(); a.away != want || a.gone || a.hole || !a.adds(12) {
			t.Errorf("first flight before the news %v: %+v", early, a)
		}
	}
}

var row = regexp.MustCompile(`(?m)^(\w+) +(\d+) +(\d+) +(\d+) +(\d+)  (.*)$`)

// All that was published is accounted for, for each subscriber.
func TestAddsUp(t *testing.T) {
	t.Parallel()
	s := play(t, nil)
	if code := s.wait(); code != 0 {
		t.Fatalf("it ended with %d:\n%s", code, s.text())
	}
	s.nothingLeft(7)
	_, summary, _ := strings.Cut(s.text(), "What became of ")
	summary, questions, _ := strings.Cut(summary, "What became of ")
	rows := row.FindAllStringSubmatch(summary, -1)
	if len(rows) != 5 {
		t.Fatalf("the summary has %q", rows)
	}
	var sums, together [4]int
	for i, name := range []string{"Ada", "Bob", "Cleo", "Dan", "together"} {
		var of [4]int
		for k := range of {
			of[k], _ = strconv.Atoi(rows[i][2+k])
			sums[k] += of[k]
		}
		if rows[i][1] != name || of[0] == 0 || of[0] != of[1]+of[2]+of[3] {
			t.Errorf("row %q", rows[i][0])
		}
		if name != "together" && strings.TrimSpace(rows[i][6]) != "adds up" {
			t.Errorf("row %q", rows[i][0])
		}
		together = of
	}
	for k := range sums {
		if sums[k] != 2*together[k] {
			t.Errorf("column %d: the sum is %d, not %d", k, sums[k]-together[k], together[k])
		}
	}
	questionsAddUp(t, questions)
}

var (
	deskRow  = regexp.MustCompile(`(?m)^(?:desk \d|no desk) +(\d+) +(\d+)  (.*)$`)
	totalRow = regexp.MustCompile(`(?m)^together +(\d+) +(\d+) +(\d+)  adds up$`)
	whyRow   = regexp.MustCompile(`(?m)^ +(\d+)  \w+`)
)

// questionsAddUp checks that all questions are answered or have failed, each for a reason, and that
// what was killed is told.
func questionsAddUp(t *testing.T, summary string) {
	t.Helper()
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	var answered, failed, why int
	for _, r := range deskRow.FindAllStringSubmatch(summary, -1) {
		answered, failed = answered+number(r[1]), failed+number(r[2])
	}
	for _, r := range whyRow.FindAllStringSubmatch(summary, -1) {
		why += number(r[1])
	}
	all := totalRow.FindStringSubmatch(summary)
	if all == nil || answered == 0 || number(all[1]) != answered+failed ||
		number(all[2]) != answered || number(all[3]) != failed || why != failed {
		t.Errorf("%d answered, %d failed, %d with a reason:\n%s", answered, failed, why, summary)
	}
	if strings.Count(summary, "its connection was cut") != 1 ||
		strings.Count(summary, "its node was killed") > 1 {
		t.Errorf("it does not say which desk died:\n%s", summary)
	}
}

// Whatever ends it, nothing is left.
func TestStopped(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		stop func(s *show)
		code int
		says string
	}{
		"Ctrl-C":  {func(s *show) { _ = s.cmd.Process.Signal(syscall.SIGINT) }, 130, "stopped"},
		"SIGTERM": {func(s *show) { _ = s.cmd.Process.Signal(syscall.SIGTERM) }, 143, "stopped"},
		"haproxy dies": {func(s *show) { _ = syscall.Kill(s.pids()[4], syscall.SIGKILL) }, 1,
			"haproxy has ended"},
		"a node dies that should not": {func(s *show) {
			_ = syscall.Kill(s.pids()[5], syscall.SIGKILL)
		}, 1, "has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t, nil)
			s.await("it is ready after")
			tt.stop(s)
			if code := s.wait(); code != tt.code || !strings.Contains(s.text(), tt.says) {
				t.Errorf("it ended with %d:\n%s", code, s.text())
			}
			s.nothingLeft(6)
		})
	}
}

// Even SIGKILL leaves no process.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := play(t, nil)
	s.await("haproxy runs")
	_ = s.cmd.Process.Kill() // nothing else ends it
	s.wait()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		left := 0
		for _, pid := range s.pids() {
			if runs(pid) {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d still run", left)
		}
	}
}

// On a terminal there is a board, Ctrl-C is a key, and the terminal is given back.
func TestTerminal(t *testing.T) {
	t.Parallel()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 40, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	s := play(t, tty)
	_ = tty.Close() // the demo has it
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 1<<16)
		for {
			n, err := keyboard.Read(buf)
			if _, _ = s.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	s.await("told lost")
	if _, err := keyboard.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	if code := s.wait(); code != 130 {
		t.Errorf("it ended with %d", code)
	}
	<-read
	if !strings.Contains(s.text(), "stopped, nothing is left running") {
		t.Errorf("it said %q", s.text())
	}
	s.nothingLeft(5)
}
