//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// options are the flags.
type options struct {
	server      string
	subscribers int
	stall       time.Duration
	repeat      int
	crowds      int
}

// memoryMax is from where on the generator collects its garbage after all.
const memoryMax = 4 << 30

func main() {
	var o options
	flag.StringVar(&o.server, "server", "bin/mb-server", "path of the server's binary")
	scenarios := flag.String("run", "staller,service,flood,limits,crowd",
		"what to measure, separated by commas")
	flag.IntVar(&o.subscribers, "subscribers", 1000, "subscribers of the staller scenario")
	flag.DurationVar(&o.stall, "stall", 20*time.Second,
		"length of a stall; the service's is half as long again")
	flag.IntVar(&o.crowds, "crowds", 3, "rounds of the crowd scenario, of each setting")
	flag.IntVar(&o.repeat, "repeat", 7, "rounds of the limits scenario; the median counts")
	flag.Parse()
	runtime.LockOSThread()
	// A collection would take this core while something is measured: there is one between
	// measurements.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryMax)
	var set unix.CPUSet
	set.Set(1)
	_ = unix.SchedSetaffinity(0, &set) // on one core the figures are worse, and still ratios
	known := map[string]func(options) error{
		"staller": staller, "service": service, "flood": flood, "limits": limits,
		"crowd": crowdOf,
	}
	for _, name := range strings.Split(*scenarios, ",") {
		scenario := known[name]
		if scenario == nil {
			fmt.Fprintln(os.Stderr, "overload: there is no scenario", name)
			os.Exit(2)
		}
		if err := scenario(o); err != nil {
			fmt.Fprintf(os.Stderr, "overload: %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

// begin starts a server with the given settings and a generator for it; finish stops both.
func begin(o options, settings ...string) (s *server, l *loop, finish func(), err error) {
	runtime.GC()
	if s, err = startServer(o.server, settings...); err != nil {
		return nil, nil, nil, err
	}
	if l, err = newLoop(); err != nil {
		s.stop()
		return nil, nil, nil, err
	}
	return s, l, func() { l.close(); s.stop() }, nil
}
