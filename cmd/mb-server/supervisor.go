package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	sd "github.com/coreos/go-systemd/v22/daemon"
)

// supervisor is who started the process and wants to know how it fares: systemd, or another that
// speaks its protocol (sd_notify(3)). One that wants to know nothing is the zero value. Any
// goroutine.
type supervisor struct {
	// Immutable after open.
	tell     func(state string) error // nil: nobody listens
	patience time.Duration            // it wants a sign of life within; 0: it wants none
	handed   map[string][]*os.File    // sockets that listen already, by name

	// Guarded by mu.
	mu       sync.Mutex
	stopping bool // it was told that the process ends
	deaf     bool // it could not be told something
}

// open reads what whoever started the process left in the environment. An error says which part of
// it cannot be understood.
func (s *supervisor) open() (err error) {
	s.handed = make(map[string][]*os.File)
	for _, file := range activation.Files(true) {
		s.handed[file.Name()] = append(s.handed[file.Name()], file)
	}
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	s.tell = func(state string) error {
		_, err := sd.SdNotify(false, state)
		return err
	}
	s.patience, err = sd.SdWatchdogEnabled(false)
	return err
}

// say tells it lines of the form KEY=value. log gets a line when that fails for the first time.
func (s *supervisor) say(log *slog.Logger, lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sayLocked(log, lines...)
}

func (s *supervisor) sayLocked(log *slog.Logger, lines ...string) {
	if s.tell == nil {
		return
	}
	if err := s.tell(strings.Join(lines, "\n")); err != nil && !s.deaf {
		s.deaf = true
		log.Warn("the service manager cannot be told how the node fares", "error", err.Error())
	}
}

// status is a line for people, as systemctl status shows it.
func status(format string, args ...any) string {
	return "STATUS=" + strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
}

// reloading tells it of a reload, and how that went. One during the end is not worth telling.
func (s *supervisor) reloading(log *slog.Logger, reload func() error) {
	s.mu.Lock()
	if !s.stopping {
		s.sayLocked(log, sd.SdNotifyReloading, strings.TrimSpace(sd.SdNotifyMonotonicUsec()),
			status("reading the configuration again"))
	}
	s.mu.Unlock()
	said := status("serving, configuration reloaded at %s", time.Now().Format(time.TimeOnly))
	if err := reload(); err != nil {
		said = status("serving, configuration not reloaded: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.sayLocked(log, sd.SdNotifyReady, said)
	}
}

// ends tells it that the process stops, which may take that long: it asks for as much, whatever
// its own limit is.
func (s *supervisor) ends(log *slog.Logger, within time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	s.sayLocked(log, sd.SdNotifyStopping,
		fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", within.Microseconds()),
		status("draining, for %v at most", within))
}

// feed gives signs of life for as long as every loop of the node turns, if any are wanted, until
// the function that it returns is called.
func (s *supervisor) feed(log *slog.Logger, n node) (stop func()) {
	if s.patience <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.feedUntil(ctx, log, n)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// feedUntil gives a sign twice in the time within which one is wanted.
func (s *supervisor) feedUntil(ctx context.Context, log *slog.Logger, n node) {
	every := max(s.patience/2, time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for fed := true; ; {
		turned, cancel := context.WithTimeout(ctx, every)
		err := n.Pulse(turned)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			s.say(log, sd.SdNotifyWatchdog)
			fed = true
		case fed:
			fed = false
			log.Error("the watchdog is not fed", "error", err.Error(),
				"limitMs", s.patience.Milliseconds())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
