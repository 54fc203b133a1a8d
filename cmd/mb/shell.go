package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"mbserver/client"
	"mbserver/codec"
)

// killDelay is how long a command has after it was asked to end, --timeout at most.
const killDelay = 2 * time.Second

// defaultLimit bounds an answer when the broker does not tell its limit, in bytes.
const defaultLimit = 16 << 10

// complaintLimit bounds what is kept of a command's standard error, in bytes.
const complaintLimit = 1 << 10

var errTooMuch = errors.New("the command prints more than fits in an answer")

// shell runs the command until it ends, prints too much, or nobody waits for its
// answer any more.
func (r *replier) shell(ctx context.Context, q client.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.app.timeout, &client.Error{
		Code:    codec.Timeout,
		Message: fmt.Sprintf("the command worked longer than %v (--timeout)", r.app.timeout),
	})
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd := exec.CommandContext(ctx, "sh", "-c", r.command)
	cmd.Stdin = bytes.NewReader(q.Payload)
	cmd.Env = append(os.Environ(), "MB_TOPIC="+q.Topic, "MB_ID="+q.ID)
	detach(cmd)
	cmd.WaitDelay = min(killDelay, r.app.timeout)
	out := &head{limit: r.limit + len("\n"), full: func() { stop(errTooMuch) }}
	said := &tail{limit: complaintLimit}
	cmd.Stdout, cmd.Stderr = out, said
	err := cmd.Run()
	if ctx.Err() != nil {
		killGroup(cmd)
		cause := context.Cause(ctx)
		if errors.Is(cause, errTooMuch) || errors.Is(cause, client.ErrTimeout) {
			err = cause
		}
	}
	answer := bytes.TrimSuffix(out.kept, []byte("\n"))
	if err == nil && len(answer) > r.limit {
		err = errTooMuch
	}
	if errors.Is(err, errTooMuch) {
		err = fmt.Errorf("%w: the broker's limit is %d bytes", errTooMuch, r.limit)
	}
	if err == nil {
		return answer, nil
	}
	if text := said.String(); text != "" && errors.As(err, new(*exec.ExitError)) {
		err = fmt.Errorf("%s (%w)", text, err)
	}
	r.app.notice("%s: %v", q.Topic, err)
	return nil, err
}

// head keeps the first limit bytes; more is an error, told to full once.
type head struct {
	limit int
	full  func()
	kept  []byte
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.limit - len(h.kept); len(p) > room {
		h.kept = append(h.kept, p[:room]...)
		h.full()
		return room, errTooMuch
	}
	h.kept = append(h.kept, p...)
	return len(p), nil
}

// tail keeps the last limit bytes.
type tail struct {
	limit int
	kept  []byte
	cut   bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p[max(0, len(p)-t.limit):]...)
	if more := len(t.kept) - t.limit; more > 0 {
		t.kept = append(t.kept[:0], t.kept[more:]...)
		t.cut = true
	}
	t.cut = t.cut || len(p) > t.limit
	return len(p), nil
}

func (t *tail) String() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.kept), ""))
	if t.cut {
		return "…" + text
	}
	return text
}
