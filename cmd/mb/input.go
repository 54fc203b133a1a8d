package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// maxLine is the longest input line, in bytes.
const maxLine = 64 << 20

// progressAfter is how long the work takes before progress is shown.
const progressAfter = time.Second

// source is where pub and request take their messages from, by their flags.
type source struct {
	app   *app
	file  string
	whole bool
	tsv   bool
	count int
	rate  float64

	topic   *template // nil with tsv
	payload []byte    // given as an argument
	given   bool
}

func (s *source) register(f *pflag.FlagSet, what string) {
	f.StringVarP(&s.file, "file", "f", "",
		"read the payloads from `FILE`, one a line (- is standard input)")
	f.BoolVar(&s.whole, "whole", false, "take the whole input as one payload")
	f.BoolVar(&s.tsv, "tsv", false, "input lines are TOPIC<tab>PAYLOAD")
	f.IntVarP(&s.count, "count", "n", 0, "with PAYLOAD send it `N` times, else stop after N "+what)
	f.Float64Var(&s.rate, "rate", 0, "send at most `N` a second (0: as fast as possible)")
}

// arguments takes [TOPIC] [PAYLOAD].
func (s *source) arguments(args []string) error {
	switch {
	case s.tsv && (len(args) > 0 || s.whole):
		return usageError("--tsv takes topic and payload from the input lines")
	case !s.tsv && len(args) == 0:
		return usageError("TOPIC is missing")
	case len(args) > 1 && (s.file != "" || s.whole):
		return usageError("either PAYLOAD or an input, not both")
	case s.count < 0 || s.rate < 0:
		return usageError("--count and --rate must not be negative")
	}
	if s.tsv {
		return nil
	}
	var err error
	s.topic, err = parseTemplate(args[0])
	if len(args) > 1 {
		s.payload, s.given = []byte(args[1]), true
	}
	return err
}

// line is one message of the input.
type line struct {
	number  int // from 1
	payload []byte
	err     error // of reading; the last one
}

// each calls f with every message, in order and not faster than the rate,
// until f fails, the input ends or ctx does: interrupted when an end was in sight.
func (s *source) each(
	ctx context.Context, f func(number int, topic string, payload []byte) error,
) error {
	lines, progress, closeInput, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer closeInput()
	start := time.Now()
	sent := 0
	for ; s.all() == 0 || sent < s.all(); sent++ {
		var l line
		var ok bool
		select {
		case l, ok = <-lines:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return s.cut(ctx, sent)
		}
		if !ok {
			return nil
		}
		if l.err != nil {
			return l.err
		}
		if s.rate > 0 && !waitUntil(ctx, s.due(start, sent)) {
			return s.cut(ctx, sent)
		}
		topic, payload, err := s.split(l.payload)
		if err == nil {
			err = f(l.number, topic, payload)
		}
		if err != nil {
			if s.given {
				return err
			}
			return fmt.Errorf("line %d: %w", l.number, err)
		}
		progress.sent(len(l.payload) + 1)
	}
	return nil
}

// all is how many messages there will be at most; 0 when nobody knows.
func (s *source) all() int {
	if s.given {
		return max(s.count, 1)
	}
	return s.count
}

// cut is what a signal after so many messages means: standard input without a
// count has no end, a file has.
func (s *source) cut(ctx context.Context, sent int) error {
	if s.all() == 0 && s.file != "" && s.file != "-" {
		return interrupted(fmt.Sprintf("%s of %s", plural(sent, "message"), s.file))
	}
	return cut(ctx, sent, s.all(), "message")
}

// due is when the next message may go, after so many of them since start. The
// rate must not be 0.
func (s *source) due(start time.Time, sent int) time.Time {
	return start.Add(time.Duration(float64(sent) / s.rate * float64(time.Second)))
}

func (s *source) split(in []byte) (topic string, payload []byte, err error) {
	if !s.tsv {
		topic, err = s.topic.topic(in)
		return topic, in, err
	}
	name, payload, found := bytes.Cut(in, []byte{'\t'})
	if !found {
		return "", nil, fmt.Errorf("no tab in it")
	}
	return string(name), payload, nil
}

func waitUntil(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// open starts reading. The reader goroutine ends with the input or with
// closeInput, whichever comes first; one that hangs in a read of a terminal
// ends with the process.
func (s *source) open(ctx context.Context) (<-chan line, *progress, func(), error) {
	lines := make(chan line, 1024)
	ctx, cancel := context.WithCancel(ctx)
	if s.given {
		go s.repeat(ctx, lines)
		return lines, s.app.progress(-1), cancel, nil
	}
	in, size := s.app.stdin, int64(-1)
	closeInput := cancel
	if s.file != "" && s.file != "-" {
		file, err := os.Open(s.file)
		if err != nil {
			cancel()
			return nil, nil, nil, err
		}
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		in = file
		closeInput = func() {
			cancel()
			_ = file.Close() // It was only read.
		}
	}
	if s.whole {
		go s.readWhole(ctx, in, lines)
	} else {
		go readLines(ctx, in, lines)
	}
	p := s.app.progress(size)
	return lines, p, func() { closeInput(); p.end() }, nil
}

func (s *source) repeat(ctx context.Context, lines chan<- line) {
	defer close(lines)
	for i := range max(s.count, 1) {
		if !push(ctx, lines, line{number: i + 1, payload: s.payload}) {
			return
		}
	}
}

func (s *source) readWhole(ctx context.Context, in io.Reader, lines chan<- line) {
	defer close(lines)
	all, err := io.ReadAll(in)
	push(ctx, lines, line{number: 1, payload: all, err: err})
}

// readLines skips empty lines and takes the last one without a newline too.
func readLines(ctx context.Context, in io.Reader, lines chan<- line) {
	defer close(lines)
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 0, 64<<10), maxLine)
	for n := 1; scanner.Scan(); n++ {
		text := scanner.Bytes()
		if len(text) > 0 && !push(ctx, lines, line{number: n, payload: bytes.Clone(text)}) {
			return
		}
	}
	if err := scanner.Err(); err != nil {
		push(ctx, lines, line{err: fmt.Errorf("reading the input: %w", err)})
	}
}

func push(ctx context.Context, lines chan<- line, l line) bool {
	select {
	case lines <- l:
		return true
	case <-ctx.Done():
		return false
	}
}

// progress shows a bar on a terminal when the work takes long.
type progress struct {
	app   *app
	size  int64
	start time.Time
	bytes int
	bar   *progressbar.ProgressBar
}

// progress returns nil, which shows nothing, when standard error is no terminal.
func (a *app) progress(size int64) *progress {
	file, ok := a.stderr.(*os.File)
	if a.quiet || !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return &progress{app: a, size: size, start: time.Now()}
}

func (p *progress) sent(bytes int) {
	if p == nil {
		return
	}
	p.bytes += bytes
	if p.bar == nil {
		if time.Since(p.start) < progressAfter {
			return
		}
		p.bar = progressbar.NewOptions64(p.size,
			progressbar.OptionSetWriter(p.app.stderr),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
		bytes = p.bytes
	}
	_ = p.bar.Add(bytes) // Only looks.
}

func (p *progress) end() {
	if p != nil && p.bar != nil {
		_ = p.bar.Finish() // Only looks.
	}
}
