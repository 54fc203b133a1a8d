// Command cluster shows three nodes that are one broker: HAProxy in front of them, one nats-server
// between them, flights that flow from a publisher to subscribers, questions that a service answers
// of which an instance dies, a node that is killed and comes back, and NATS that does. make
// demo-cluster builds and runs it.
//
// main.go and play.go have what happens, in order, desks.go what is about requests; stage.go the
// programs that are started, from the files of docs/deploy/cluster; ledger.go who has got which
// flights, questions.go what became of requests; screen.go what is shown. Whatever ends the demo,
// nothing that it has started stays.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

func main() { os.Exit(run()) }

// codes are the exit codes of those signals that end the demo, as shells have them.
var codes = map[os.Signal]int{
	syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129, syscall.SIGPIPE: 141,
}

var errStopped = errors.New("stopped")

func run() int {
	// The kernel ends what the demo starts with the thread that has started it: the last one.
	runtime.LockOSThread()
	bin := flag.String("bin", "bin", "where mb-server and peers/nats are")
	rate := flag.Int("rate", 200, "flights a second")
	look := flag.Duration("look", 2500*time.Millisecond, "time to look at each scene")
	flag.Parse()
	if flag.NArg() > 0 || *rate < 1 || *rate > 20_000 || *look < 0 {
		fmt.Fprintln(os.Stderr, "demo-cluster: -rate is 1 to 20000, -look no less than 0")
		return 2
	}
	ctx, fail := context.WithCancelCause(context.Background())
	defer fail(nil)
	var stopped atomic.Int64 // the exit code
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	go func() {
		for s := range signals {
			stopped.CompareAndSwap(0, int64(codes[s]))
			fail(errStopped)
		}
	}()
	d := &demo{rate: *rate, look: *look, screen: newScreen(func() {
		stopped.CompareAndSwap(0, int64(codes[syscall.SIGINT])) // Ctrl-C is a key there
		fail(errStopped)
	})}
	d.stage = &stage{bin: *bin, fail: fail}
	good, err := d.run(ctx)
	switch {
	case errors.Is(err, errStopped):
		fmt.Fprintln(os.Stderr, "demo-cluster: stopped, nothing is left running")
		return int(stopped.Load())
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo-cluster:", err)
		return 1
	case !good:
		return 1
	}
	return 0
}
