package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"mbserver/cmd/internal/build"
	"mbserver/server"
	"mbserver/server/config"
	"mbserver/server/logging"
)

// node is what the daemon needs of server.Node.
type node interface {
	Start() error
	Addr(transport string) string
	Reload(load config.Loader) error
	Announce(ctx context.Context, delay time.Duration)
	Pulse(ctx context.Context) error
	Shutdown(ctx context.Context) error
}

// serve runs a node until it was asked to stop, and returns the exit code.
func (d *daemon) serve(cfg config.Config, origins config.Origins) int {
	begin := time.Now()
	out, err := d.logOutput(cfg.Logging.File)
	if err != nil {
		fmt.Fprintf(d.stderr, "mb-server: logging.file: %v\n", err)
		return exitFailure
	}
	logs := logging.New(out, cfg.Logging.Level, d.format(cfg.Logging.Format, out))
	log := slog.New(logs).With("module", "daemon")
	var running atomic.Pointer[node] // nil before there is one
	defer d.outliveHangups(log, logs, &running)()
	var hardEnd time.Time // zero before the node was asked to stop
	defer func() {
		last := time.Now().Add(logPatience)
		if !hardEnd.IsZero() && hardEnd.Before(last) {
			last = hardEnd
		}
		ctx, cancel := context.WithDeadline(context.Background(), last)
		defer cancel()
		if err := logs.Close(ctx); err != nil {
			d.lastWords(err)
		}
	}()

	written := cfg.Loops
	cfg.Loops = setProcs(cfg.Loops, d.environ)
	d.load = computed(d.load, written, cfg.Loops)
	limitCollector(cfg.Memory.Limit)
	profiles(cfg)
	warn(log, cfg)
	n, err := d.newNode(cfg, server.Options{
		Logger: slog.New(logs), Logs: logs, Version: build.Version,
		Listeners: d.supervisor.handed, Origins: origins,
	})
	if err != nil {
		return d.fail(log, "the node cannot be set up", err)
	}
	running.Store(&n)
	if err := n.Start(); err != nil {
		return d.fail(log, "the node cannot start", err)
	}
	ready := []any{
		"version", build.Version, "loops", cfg.Loops, "startMs", time.Since(begin).Milliseconds(),
	}
	if commit := build.Commit(); commit != "" {
		ready = append(ready, "commit", commit)
	}
	var serving []string
	for _, transport := range server.Transports {
		if address := n.Addr(transport); address != "" {
			ready = append(ready, transport, address)
			serving = append(serving, transport+" "+address)
		}
	}
	if address := n.Addr("admin"); address != "" {
		ready = append(ready, "console", "http://"+address+"/")
	}
	tuneCollector(d.environ)
	defer d.watchFiles(log, n)()
	// The node itself logs a line for each address that a listener is bound to.
	log.Info("ready", ready...)
	d.supervisor.say(log, sd.SdNotifyReady,
		status("serving %s", strings.Join(serving, ", ")))
	defer d.supervisor.feed(log, n)()
	sig := <-d.signals
	hardEnd = time.Now().Add(cfg.Shutdown.Timeout + hardEndDelay)
	d.supervisor.ends(log, cfg.Shutdown.Timeout+hardEndDelay+logPatience)
	return d.stop(log, n, sig, cfg.Shutdown)
}

// reload has the node read its configuration again; it logs what is wrong.
func (d *daemon) reload(log *slog.Logger, n node) {
	d.supervisor.reloading(log, func() error { return n.Reload(d.load) })
}

// computed is load with the number of loops that was computed of what is written, as long as that
// stands there.
func computed(
	load config.Loader, written, loops int,
) config.Loader {
	return func() (config.Config, config.Origins, error) {
		cfg, from, err := load()
		if err == nil && cfg.Loops == written {
			cfg.Loops = loops
		}
		return cfg, from, err
	}
}

// watchFiles has the node read its configuration again when the files of it have changed, until the
// function that it returns is called.
func (d *daemon) watchFiles(log *slog.Logger, n node) (stop func()) {
	if len(*d.files.Load()) == 0 {
		return func() {}
	}
	paths := func() []string { return *d.files.Load() }
	again := func() { d.reload(log, n) }
	stop, err := watch(paths, d.seen, log, d.noted, again)
	if err != nil {
		log.Warn("the configuration's files are not watched, SIGHUP has them read again",
			"error", err.Error())
		return func() {}
	}
	return stop
}

// note takes down which files a configuration is read from: those of a faulty one too, since they
// are what will be mended.
func (d *daemon) note(cfg *config.Config) {
	paths := cfg.Files()
	if d.path != "" {
		paths = append(paths, d.path)
	}
	if old := d.files.Swap(&paths); old == nil || slices.Equal(*old, paths) {
		return
	}
	select {
	case d.noted <- struct{}{}:
	default:
	}
}

// format is the form of log lines on an output.
func (d *daemon) format(format string, out io.Writer) string {
	if format != config.FormatAuto {
		return format
	}
	if d.terminal(out) {
		return config.FormatText
	}
	return config.FormatJSON
}

// The process ends hardEndDelay after shutdown.timeout, whatever holds the node up. What is left of
// that after lateDelay is for the log's last lines, which otherwise have logPatience.
const (
	hardEndDelay = 2 * time.Second
	lateDelay    = hardEndDelay - 250*time.Millisecond // node.Shutdown takes no longer
	logPatience  = 2 * time.Second
)

// profileBytes is of how many allocated bytes one allocation is noted for heap profiles, as Go has
// it.
const profileBytes = 512 << 10

// profiles has allocations noted when profiles are served: else nobody sees the notes.
func profiles(cfg config.Config) {
	if cfg.Admin.Pprof {
		runtime.MemProfileRate = profileBytes
	}
}

// warn logs what is legal but will surprise the operator.
func warn(log *slog.Logger, cfg config.Config) {
	for _, w := range cfg.Warnings() {
		log.Warn(w)
	}
	limit, err := raiseDescriptors()
	if err != nil {
		log.Warn("the limit of open files cannot be read or raised", "error", err)
		return
	}
	if need := uint64(cfg.Connection.MaxConcurrent) + spareDescriptors; limit < need {
		log.Warn("the limit of open files is too low for connection.max.concurrent: "+
			"connections beyond it will be refused",
			"openFiles", limit, "connection.max.concurrent", cfg.Connection.MaxConcurrent,
			"needed", need)
	}
}

// bounce is how soon after the first signal another is the same wish: timeout(1) and some shells
// signal a process, and then its group.
const bounce = 250 * time.Millisecond

// stop drains the node within the timeout, and returns the exit code. A second signal ends it at
// once, and so does a node that has not stopped a little later.
func (d *daemon) stop(log *slog.Logger, n node, sig os.Signal, of config.Shutdown) int {
	timeout, delay := of.Timeout, of.DelayAfter(sig == syscall.SIGTERM)
	log.Info("asked to stop, a second signal ends it at once",
		"signal", sig.String(), "timeoutMs", timeout.Milliseconds())
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	late := time.NewTimer(timeout + lateDelay)
	defer late.Stop()
	done := make(chan error, 1)
	go func() {
		n.Announce(ctx, delay)
		done <- n.Shutdown(ctx)
	}()
	for asked := time.Now(); ; {
		select {
		case err := <-done:
			if err != nil {
				log.Error("stopped before everything was drained", "error", err)
				return exitFailure
			}
			return exitOK // the node said that it stopped
		case <-late.C:
			log.Error("the node does not stop: ending it", "timeoutMs", timeout.Milliseconds())
			return exitFailure
		case sig := <-d.signals:
			if time.Since(asked) < bounce {
				continue
			}
			log.Error("second signal: stopping at once", "signal", sig.String())
			return exitFailure
		}
	}
}
