// Command mb talks to an MB broker from the command line: it publishes,
// subscribes, requests, answers, and shows services, topics, metrics and the log.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// A closed output pipe is an error of the write, not the end of the process.
	// Not signal.Ignore: the commands of mb reply would inherit that, and whatever
	// writes into a closed pipe there would never end.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal drains, the second one ends the process.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
