package main

import (
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"mbserver/server/logging"
)

// logOutput opens what the log is written to: the file, or without one the standard output.
// A file stays open until the process ends: the log may be written to the last.
func (d *daemon) logOutput(file string) (io.Writer, error) {
	if file == "" {
		return d.stdout, nil
	}
	return logging.OpenFile(file)
}

// outliveHangups says at each SIGHUP that it ends nothing, has the log's file opened again, as
// logrotate and its like expect, and the node read what may change while it runs, until the
// function that it returns is called.
func (d *daemon) outliveHangups(
	log *slog.Logger, logs *logging.Handler, running *atomic.Pointer[node],
) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-d.hangups:
				log.Info("hang-up: the node goes on, its configuration is read again")
				logs.Reopen()
				if n := running.Load(); n != nil {
					d.reload(log, *n)
				}
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// wordsPatience is how long the standard error may take the last words: it may be the same pipe
// that nobody reads.
const wordsPatience = 100 * time.Millisecond

// lastWords says on the standard error what the log cannot say.
func (d *daemon) lastWords(err error) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		fmt.Fprintf(d.stderr, "mb-server: %v\n", err)
	}()
	select {
	case <-said:
	case <-time.After(wordsPatience):
	}
}
