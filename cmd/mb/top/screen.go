package top

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"

	"mbserver/cmd/mb/observe"
)

// Source asks the node once. An error says why there is no newer sample; it is asked again.
type Source func(ctx context.Context, subscriptions bool) (*observe.Sample, error)

// Options are what the screen shows and how often.
type Options struct {
	Source   Source
	Notes    <-chan Note   // lines of the node's log
	Interval time.Duration // between two samples; more when the node takes long to answer
	Server   string        // address, as the user gave it
	Order    string        // of the connections, one of observe.Orders
}

// Note is a line of the node's log.
type Note struct {
	Level string // warn or error
	Text  string
}

// Run shows the node on the terminal until the user quits or ctx ends. The terminal is as it was
// before when Run returns, whatever ended it: a key, a signal, an error or a panic.
func Run(ctx context.Context, in, out *os.File, o Options) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	ctx, cancel := context.WithCancel(ctx) // ends what still asks
	defer cancel()
	return show(ctx, in, out, newModel(ctx, o))
}

// show runs any model: Run's, and that of a test which panics.
func show(ctx context.Context, in, out *os.File, m tea.Model) error {
	p := tea.NewProgram(m, tea.WithInput(in), tea.WithOutput(out),
		tea.WithoutSignalHandler()) // The caller's context is the signal.
	defer context.AfterFunc(ctx, p.Quit)()
	_, err := p.Run()
	return err
}
