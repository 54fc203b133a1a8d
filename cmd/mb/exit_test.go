package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// asMain makes the test's own program mb: what is inherited from a process
// (signals above all) is only seen in one.
const asMain = "MB_TEST_AS_MAIN"

func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	return cmd
}

// A connection lost while writing (EPIPE) is an error, not a reader who left.
func TestExitLostConnection(t *testing.T) {
	for _, cause := range []error{syscall.EPIPE, io.ErrClosedPipe, syscall.ECONNRESET} {
		var stderr buffer
		a := &app{stderr: &stderr, out: &outlet{w: io.Discard}}
		lost := &failure{&net.OpError{Op: "write", Err: cause}}
		if code := a.exit(lost); code != exitError {
			t.Errorf("%v: exit code %d", cause, code)
		}
	}
}

// failing is an output whose writes fail.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestExitOutput(t *testing.T) {
	newBroker(t, clienttest.Options{})
	for _, args := range [][]string{
		{"metrics"}, {"metrics", "--json"}, {"--help"}, {"completion", "bash"}, {"bench", "list"},
		{"pub", "a", "x", "--json"}, {"--version"},
	} {
		for cause, want := range map[error]int{
			syscall.ENOSPC: exitError, syscall.EPIPE: exitOK, io.ErrClosedPipe: exitOK,
		} {
			var stderr buffer
			code := run(context.Background(), args, strings.NewReader(""), failing{cause}, &stderr)
			if code != want {
				t.Errorf("%v, %v: exit code %d, want %d", args, cause, code, want)
			}
			said := strings.Contains(stderr.String(), "standard output: no space")
			if want == exitError && !said {
				t.Errorf("%v: stderr %q", args, stderr.String())
			}
		}
	}
}

// A job with an end that a signal cuts short is 130 and says how far it came;
// one without an end is over in order.
func TestExitInterrupted(t *testing.T) {
	b, _ := recorder(t, nil)
	lines := writeFile(t, "lines", strings.Repeat("x\n", 1000))
	for _, tc := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"pub", "a", "x", "-n", "1000", "--rate", "50"}, "of 1,000 messages", 130},
		{[]string{"pub", "a", "x", "-n", "999", "--rate", "50", "--ack"}, "of 999 messages", 130},
		{[]string{"pub", "a", "--file", lines, "--rate", "50"}, " of " + lines, 130},
		{[]string{"pub", "a", "-f", lines, "--rate", "50", "-n", "900"}, "of 900 messages", 130},
	} {
		ack := tc.args[len(tc.args)-1] == "--ack"
		if ack {
			b, _ = recorder(t, func(c *clienttest.Conn, h *codec.Header) {
				c.Send(fmt.Sprintf("response:%s:1.0.0:%s", h.Topic, h.RequestID),
					[]byte(`{"status":"success","subscribers":1}`))
			})
		}
		before := b.Received(codec.Publish)
		i := start(t, "", tc.args...)
		eventually(t, "some messages", func() bool { return b.Received(codec.Publish) > before+2 })
		i.stop()
		i.wait(tc.code).wantErr("mb: interrupted after ", tc.want, "published")
	}
}

func TestExitInterruptedReaders(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"sub", "a", "-n", "3"}, "interrupted after 0 of 3 messages"},
		{[]string{"reply", "a", "x", "-n", "3"}, "interrupted after 0 of 3 requests"},
		{[]string{"log", "-n", "1"}, "interrupted after 0 of 1 line"},
	} {
		begun := func(i *invocation) {
			eventually(t, "subscribed", func() bool {
				said := i.stderr.String()
				return strings.Contains(said, "listening for") ||
					strings.Contains(said, "subscribed to") ||
					strings.Contains(said, "answering")
			})
		}
		i := start(t, "", tc.args...)
		begun(i)
		i.stop()
		i.wait(exitInterrupted).wantErr("mb: " + tc.want)
		endless := start(t, "", tc.args[:len(tc.args)-2]...)
		begun(endless)
		endless.stop()
		endless.wait(exitOK)
	}
	echo := start(t, "", "reply", "e", "--echo")
	subscribed(t, b, "request e")
	lines := writeFile(t, "lines", strings.Repeat("x\n", 1000))
	i := start(t, "", "request", "e", "--file", lines, "--rate", "50")
	eventually(t, "an answer", func() bool { return i.stdout.String() != "" })
	i.stop()
	i.wait(exitInterrupted).wantErr("mb: interrupted after ", " of "+lines)
	echo.stop()
	echo.wait(exitOK)
}

func TestOutletRemembers(t *testing.T) {
	o := &outlet{w: failing{syscall.ENOSPC}}
	_, err := o.Write([]byte("x"))
	if !errors.Is(err, syscall.ENOSPC) || o.failed() == nil || o.failed().readerLeft() {
		t.Errorf("error %v, remembered %v", err, o.failed())
	}
}
