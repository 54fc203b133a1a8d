package main

import (
	"fmt"
	"math"
	"time"

	"mbserver/cmd/mb/terminal"
)

const (
	// progressAfter is how long the work takes before progress is shown, and
	// progressEvery how often it changes.
	progressAfter = time.Second
	progressEvery = 100 * time.Millisecond

	eraseLine = "\r\x1b[K"
)

// progress is a line on the terminal that says how far a long job is. One
// goroutine; nil shows nothing.
type progress struct {
	app  *app
	all  int    // messages; 0: nobody knows
	file string // that is read; "" when it has no size
	size int64  // of the file, in bytes

	start, shown time.Time
	done         int
	bytes        int64
}

// progress returns nil when standard error is no terminal, or when standard
// output, to which the command prints, is the same one.
func (a *app) progress(p progress, prints bool) *progress {
	if a.quiet || a.json || !a.onTerminal || prints && a.out.terminal {
		return nil
	}
	p.app, p.start = a, time.Now()
	p.shown = p.start.Add(progressAfter - progressEvery)
	return &p
}

// sent notes one message and the bytes of the input that it took.
func (p *progress) sent(bytes int) {
	if p == nil {
		return
	}
	p.done++
	p.bytes += int64(bytes)
	now := time.Now()
	if now.Sub(p.shown) < progressEvery {
		return
	}
	p.shown = now
	a := p.app
	a.saying.Lock()
	defer a.saying.Unlock()
	a.progressing = true
	_, _ = a.stderr.Write([]byte(eraseLine + p.line(now.Sub(p.start)))) // Only looks.
}

func (p *progress) line(took time.Duration) string {
	line := number(p.done)
	if p.all > 0 {
		line += "/" + number(p.all)
	}
	line += "  " + rate(p.done, took)
	if p.all == 0 && p.size > 0 {
		line += fmt.Sprintf("  %d %% of %s", min(100, 100*p.bytes/p.size), terminal.Line(p.file))
	}
	return line
}

// rate is how many messages a second that is, for people.
func rate(messages int, took time.Duration) string {
	perSecond := float64(messages) / max(took.Seconds(), 1e-9)
	if perSecond < 10 {
		return fmt.Sprintf("%.1f msg/s", perSecond)
	}
	return number(int(math.Round(perSecond))) + " msg/s"
}

func (p *progress) end() {
	if p != nil {
		p.app.say("")
	}
}
