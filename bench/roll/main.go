//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() { os.Exit(run()) }

func run() int {
	// Processes are started by the thread that the program ends with: they are ended with theirs.
	runtime.LockOSThread()
	var o options
	flag.StringVar(&o.server, "server", "bin/mb-server", "path of the server's binary")
	flag.StringVar(&o.nats, "nats", "",
		"path of a nats-server, over which the nodes are a cluster; services come through "+
			"HAProxy, too")
	groups := flag.String("groups", "tcp/go,tcp/old",
		"list of tcp, http, tls or nginx, a slash, and go or old")
	flag.IntVar(&o.connections, "connections", 1000, "client connections, all groups together")
	flag.IntVar(&o.rate, "rate", 1000, "requests a second, all groups together")
	flag.DurationVar(&o.long, "long", 8*time.Second, "what a long request takes")
	flag.IntVar(&o.longs, "longs", 6, "connections of each group that always wait for one")
	flag.DurationVar(&o.quiet, "quiet", 3*time.Second, "time before the first restart")
	flag.DurationVar(&o.check, "check", 500*time.Millisecond, "between two of HAProxy's checks")
	flag.StringVar(&o.services, "services", "go",
		"services, of each node or as many in a cluster: go, old or both")
	phases := flag.String("phases", "idle,restart,kill", "list of what is done: idle, restart, "+
		"overlap (a node is told to stop while another drains), kill")
	flag.DurationVar(&o.idle, "idle", 100*time.Millisecond, "what the end of an idle node may take")
	flag.Func("set", "key=value of the nodes' configuration; may be repeated",
		func(s string) error {
			o.settings = append(o.settings, s)
			return nil
		})
	log := flag.String("log", "",
		"file to which the balancers' logs are written, and the calls not answered")
	isSmall := flag.Bool("small", false,
		"all groups together, fewer connections and shorter times, where no flag says otherwise")
	flag.Parse()
	if *isSmall {
		if err := small(); err != nil {
			fmt.Fprintln(os.Stderr, "roll:", err)
			return 2
		}
	}
	o.phases, o.groups = strings.Split(*phases, ","), strings.Split(*groups, ",")
	if err := o.valid(); err != nil {
		fmt.Fprintln(os.Stderr, "roll:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	t := &trial{options: o}
	err := t.run(ctx)
	if *log != "" && t.balancers != nil {
		text := t.balancers.log.String() + t.balancers.said.String() + t.unanswered()
		if err := os.WriteFile(*log, []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "roll:", err)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "roll:", err)
		return 2
	}
	v := t.conclude(o.idle)
	fmt.Print(v)
	if len(v.failures) > 0 {
		return 1
	}
	fmt.Println("all passed")
	return 0
}

// small sets the flags that were not given to what takes about 40 s on two cores.
func small() (err error) {
	given := make(map[string]bool)
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for _, f := range []struct{ name, value string }{
		{"groups", "tcp/go,tcp/old,http/go,http/old,tls/go,tls/old,nginx/go,nginx/old"},
		{"services", "both"},
		{"connections", "160"}, {"rate", "160"}, {"longs", "2"}, {"long", "2s"},
		{"quiet", "1s"}, {"check", "200ms"},
		{"set", "shutdown.delay=1500"}, {"set", "shutdown.spread=4000"},
		{"set", "shutdown.grace=3000"}, {"set", "shutdown.timeout=15000"},
	} {
		if !given[f.name] && err == nil {
			err = flag.Set(f.name, f.value)
		}
	}
	return err
}

// valid says what is wrong with the flags.
func (o *options) valid() error {
	for _, name := range o.groups {
		front, kind, _ := strings.Cut(name, "/")
		if !slices.Contains(fronts, front) || kind != "go" && kind != "old" {
			return fmt.Errorf("no such group: %q", name)
		}
	}
	for _, phase := range o.phases {
		if !slices.Contains([]string{"idle", "restart", "overlap", "kill"}, phase) {
			return fmt.Errorf("no such phase: %q", phase)
		}
	}
	if o.connections/len(o.groups) <= o.longs {
		return fmt.Errorf("%d connections are too few for %d groups", o.connections, len(o.groups))
	}
	return nil
}
