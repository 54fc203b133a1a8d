//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// judgeProcs is how many threads of the judge may be in Go code at once.
const judgeProcs = 8

// options are the flags.
type options struct {
	server string
	length time.Duration
	held   held
}

func main() { os.Exit(run()) }

func run() int {
	// Processes are started by the thread that the program ends with: they are ended with theirs.
	runtime.LockOSThread()
	var o options
	flag.StringVar(&o.server, "server", "bin/mb-server", "path of the server's binary")
	flag.DurationVar(&o.length, "for", 30*time.Second, "length of each attack")
	which := flag.String("cells", "sample",
		"sample, all, ci, or a list of attack[+attack...][/loops[/MiB]]; together is all at once")
	seed := flag.Uint64("seed", 1, "of the sample")
	list := flag.Bool("list", false, "list the attacks")
	flag.DurationVar(&o.held.p99, "p99", strict.p99, "what the probes' 99th percentile may be")
	flag.DurationVar(&o.held.max, "max", strict.max, "what their maximum may be")
	flag.DurationVar(&o.held.stop, "stop", strict.stop,
		"what the longest probe after a stop of the process may take")
	flag.IntVar(&o.held.memory, "memory", strict.memory,
		"per cent of memory.limit that may be resident; with more than that, for any time")
	flag.IntVar(&o.held.readers, "readers", strict.readers,
		"attackers that read and may be cut or not answered")
	markdown := flag.String("markdown", "", "file to which the table is written")
	var to addresses
	name := flag.String("attack", "", "be the attackers (the judge says so)")
	flag.StringVar(&to.TCP, "tcp", "", "of the attackers: the node's address")
	flag.StringVar(&to.WS, "ws", "", "likewise")
	share := flag.Int("share", 1, "likewise: connections and rates are divided by it")
	flag.Parse()
	if *list {
		for _, a := range attacks {
			fmt.Printf("%-20s %-6s %s\n", a.name, a.item, a.what)
		}
		return 0
	}
	if *name != "" {
		return attackMain(attackNamed(*name), to, *share, o.length)
	}
	cells, err := cellsNamed(*which, *seed)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		return 2
	}
	// A thread that the kernel has put aside must not keep the probes from running.
	runtime.GOMAXPROCS(judgeProcs)
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	return soak(ctx, o, cells, *seed, *markdown)
}

// soak runs the cells and reports; 1 when one failed.
func soak(ctx context.Context, o options, cells []cell, seed uint64, markdown string) (code int) {
	fmt.Printf("soak: %d cells of %v, seed %d\n", len(cells), o.length, seed)
	var verdicts []verdict
	for _, c := range cells {
		v := c.run(ctx, o)
		if ctx.Err() != nil {
			break // What was broken off says nothing.
		}
		verdicts = append(verdicts, v)
		fmt.Print(&v)
		if len(v.failures) > 0 {
			code = 1
			fmt.Printf("  again: make soak CELLS=%s SOAKFLAGS='-for %v'\n", c, o.length)
			if v.said != nil && v.said.String() != "" {
				fmt.Printf("  the node said at last:\n%s", v.said)
			}
		}
	}
	t := table(verdicts)
	fmt.Printf("\n%s", t)
	if markdown != "" {
		if err := os.WriteFile(markdown, []byte(t), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "soak:", err)
			return 2
		}
	}
	if ctx.Err() != nil {
		fmt.Println("broken off")
		return 2
	}
	return code
}
