// Command mb-server runs one node of the message broker.
//
// Exit codes: 0 the node was asked to stop and did, 1 it failed or did not stop in time, 2 its
// configuration is bad.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"mbserver/cmd/mb/terminal"
	"mbserver/server"
	"mbserver/server/config"
)

func main() {
	runtime.MemProfileRate = 0 // until somebody may ask for a profile (see profiles)
	// The reader of our log going away must not end the node; sockets report a broken pipe as an
	// error anyway.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	d := daemon{
		environ:  os.Environ(),
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		terminal: func(w io.Writer) bool { return terminal.Is(w) },
		signals:  signals,
		hangups:  hangups,
		newNode: func(cfg config.Config, o server.Options) (node, error) {
			return server.New(cfg, o)
		},
	}
	if err := d.supervisor.open(); err != nil {
		fmt.Fprintf(d.stderr, "mb-server: warning: %v\n", err)
	}
	os.Exit(d.execute(os.Args[1:]))
}
