package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"mbserver/client"
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

type usageError string

func (e usageError) Error() string { return string(e) }

// interrupted ends a job that has an end when a signal came before it.
type interrupted string

func (e interrupted) Error() string { return "interrupted after " + string(e) }

// cut returns interrupted when a signal ended ctx before all of a job was
// done. What has no end (all is 0) is ended by a signal in order.
func cut(ctx context.Context, done, all int, noun string) error {
	if all == 0 || done >= all || ctx.Err() == nil {
		return nil
	}
	return interrupted(fmt.Sprintf("%d of %s", done, plural(all, noun)))
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
// every writer looks at. Any goroutine.
type outlet struct {
	w io.Writer

	// Guarded by mu.
	mu  sync.Mutex
	err *outputError
}

func (o *outlet) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err == nil {
		return n, nil
	}
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
	a.complain("%v (see mb --help)", err)
	return exitUsage
}
