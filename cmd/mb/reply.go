package main

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/codec"
)

// replier is one run of mb reply.
type replier struct {
	app         *app
	echo        bool
	command     string
	name        string
	description string
	priority    float64
	concurrency int
	count       int

	text     []byte
	working  sync.WaitGroup
	answered atomic.Int64
	enough   chan struct{}
	limit    int // of an answer, in bytes
}

func (a *app) reply() *cobra.Command {
	r := &replier{app: a}
	cmd := &cobra.Command{
		Use:   "reply PATTERN [TEXT]",
		Short: "Answer requests",
		Long: "Answer the requests on topics that match PATTERN with TEXT, with the request's " +
			"payload (--echo), or with what a shell\n" +
			"command prints (--command): it gets the payload on standard input and the " +
			"environment variables MB_TOPIC and MB_ID. A last\n" +
			"newline is cut off. When it fails, the answer is an error with the end of what it " +
			"printed on standard error.\n\n" +
			"A command that prints more than the broker takes in one message is stopped, and one " +
			"that works longer than --timeout:\n" +
			"make that as long as the requesters' own.",
		Example: "  mb reply greet hello\n" +
			"  mb reply 'math.sum' --command 'paste -sd+ | bc' --concurrency 4",
		Args: cobra.RangeArgs(1, 2),
		RunE: work(r.run),
	}
	f := cmd.Flags()
	f.BoolVar(&r.echo, "echo", false, "answer with the request's payload")
	f.StringVar(&r.command, "command", "", "answer with the output of the shell `COMMAND`")
	f.Float64Var(&r.priority, "priority", 0,
		"priority of this service; higher ones are asked first")
	f.IntVar(&r.concurrency, "concurrency", 1, "requests worked on at the same time")
	f.StringVar(&r.name, "name", "", "register as a service with this `NAME`")
	f.StringVar(&r.description, "description", "", "`TEXT` for the list of services (with --name)")
	f.IntVarP(&r.count, "count", "n", 0, "end after `N` requests")
	return cmd
}

func (r *replier) run(ctx context.Context, args []string) error {
	ways := 0
	for _, chosen := range []bool{r.echo, r.command != "", len(args) > 1} {
		if chosen {
			ways++
		}
	}
	switch {
	case ways != 1:
		return usageError("give one of TEXT, --echo and --command")
	case r.concurrency < 1 || r.count < 0:
		return usageError("--concurrency must be at least 1 and --count not negative")
	case r.name == "" && r.description != "":
		return usageError("--description needs --name")
	}
	if len(args) > 1 {
		r.text = []byte(args[1])
	}
	c, err := r.app.dial(ctx, r.app.follow()...)
	if err != nil {
		return unbegun(err, r.count)
	}
	defer func() { _ = c.Close() }() // It never fails.
	r.enough = make(chan struct{})
	if r.limit = c.Limits().PayloadBytes; r.limit <= 0 {
		r.limit = defaultLimit
	}
	if err := r.serve(ctx, c, args[0]); err != nil {
		return err
	}
	err = r.app.stay(ctx, c, newOutput(r.app.stdout), r.enough)
	// A command that is left, when draining took too long, ends with the connection.
	_ = c.Close() // It never fails.
	r.working.Wait()
	if err != nil {
		return err
	}
	return cut(ctx, int(r.answered.Load()), r.count, "request")
}

func (r *replier) serve(ctx context.Context, c *client.Client, pattern string) error {
	asked, cancel := r.app.ask(ctx)
	defer cancel()
	if r.name != "" {
		description := r.description
		if description == "" {
			description = "mb reply " + pattern
		}
		reg := client.Registration{
			Name: r.name, Description: description, MaxConcurrent: r.concurrency,
		}
		if err := c.Register(asked, reg); err != nil {
			return err
		}
	}
	if _, err := c.Handle(asked, pattern, r.answer,
		client.WithPriority(r.priority), client.WithConcurrency(r.concurrency)); err != nil {
		return err
	}
	r.app.notice("answering %s", pattern)
	return nil
}

func (r *replier) answer(ctx context.Context, q client.Request) ([]byte, error) {
	r.working.Add(1)
	defer r.working.Done()
	if n := r.answered.Add(1); r.count > 0 && n >= int64(r.count) {
		if n > int64(r.count) {
			return nil, &client.Error{
				Code: codec.ServiceUnavailable, Message: "the service is ending",
			}
		}
		defer close(r.enough)
	}
	switch {
	case r.echo:
		return q.Payload, nil
	case r.command != "":
		return r.shell(ctx, q)
	}
	return r.text, nil
}
