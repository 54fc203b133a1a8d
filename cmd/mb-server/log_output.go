package main

import (
	"fmt"
	"io"
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
