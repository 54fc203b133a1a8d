package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"mbserver/client"
	"mbserver/cmd/mb/terminal"
)

// Exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130 // as shells say it: 128 and the number of SIGINT
)

// failure is an error of the work, as opposed to one of the command line.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// errSaid ends a command with exit code 1 when it has told the errors itself.
var errSaid = errors.New("")

// interrupted ends a job that has an end when a signal came before it.
type interrupted string

func (e interrupted) Error() string { return "interrupted " + string(e) }

// cut returns interrupted when a signal ended ctx before all of a job was
// done. What has no end (all is 0) is ended by a signal in order.
func cut(ctx context.Context, done, all int, noun string) error {
	if all == 0 || done >= all || ctx.Err() == nil {
		return nil
	}
	return interrupted(fmt.Sprintf("after %s of %s", number(done), plural(all, noun)))
}

// outputError says that standard output could not be written. A connection's
// errors look alike (EPIPE); only these may be the wish of a reader.
type outputError struct{ err error }

func (e *outputError) Error() string { return "standard output: " + e.err.Error() }

func (e *outputError) Unwrap() error { return e.err }

// readerLeft reports whether whoever read the output had enough: no error.
func (e *outputError) readerLeft() bool {
	return errors.Is(e.err, syscall.EPIPE) || errors.Is(e.err, io.ErrClosedPipe)
}

// outlet is standard output. It remembers the first failed write, which not
// every writer looks at, and keeps what others wrote from acting on a terminal.
// Any goroutine.
type outlet struct {
	// Immutable.
	w        io.Writer
	terminal bool // what would act on it is made visible

	// Guarded by mu.
	mu  sync.Mutex
	err *outputError
}

func (o *outlet) Write(p []byte) (int, error) {
	shown := p
	if o.terminal {
		shown = terminal.AppendText(nil, p)
	}
	n, err := o.w.Write(shown)
	if err == nil {
		return len(p), nil
	}
	n = min(n, len(p))
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = &outputError{err}
	}
	return n, o.err
}

func (o *outlet) failed() *outputError {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// exit tells the error that ended the work and returns the exit code.
func (a *app) exit(err error) int {
	lost := a.out.failed()
	var failed *failure
	var early interrupted
	var checked verdict
	switch {
	case errors.As(err, &checked):
		return int(checked)
	case lost != nil && lost.readerLeft() && !errors.Is(err, client.ErrDisconnected) &&
		(err == nil || errors.Is(err, lost)):
		return exitOK
	case lost != nil && err == nil:
		a.complain("%v", lost)
		return exitError
	case err == nil:
		return exitOK
	case errors.Is(err, errSaid):
		return exitError
	case errors.As(err, &early):
		a.complain("%v", early)
		return exitInterrupted
	case errors.As(err, &failed), lost != nil && errors.Is(err, lost):
		a.complain("%v", err)
		return exitError
	}
	a.complain("%v (see %s --help)", err, a.command)
	return exitUsage
}
