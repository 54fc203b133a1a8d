package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"mbserver/client"
	"mbserver/cmd/mb/template"
	"mbserver/cmd/mb/terminal"
	"mbserver/codec"
)

// maxLine is the longest input line, in bytes.
const maxLine = 64 << 20

// faultsShown is how many bad lines are told one by one.
const faultsShown = 10

// source is where pub and request take their messages from, by their flags.
type source struct {
	app   *app
	file  string
	whole bool
	tsv   bool
	count int
	rate  float64

	failFast bool
	version  string // of the messages
	prints   bool   // the command prints while it reads

	topic   *template.Topic // nil with tsv
	payload []byte          // given as an argument
	given   bool
	skipped int // bad lines
}

func (s *source) register(f *pflag.FlagSet, what string) {
	f.StringVarP(&s.file, "file", "f", "",
		"read the payloads from `FILE`, one a line (- is standard input)")
	f.BoolVar(&s.whole, "whole", false, "take the whole input as one payload")
	f.BoolVar(&s.tsv, "tsv", false, "input lines are TOPIC<tab>PAYLOAD")
	f.IntVarP(&s.count, "count", "n", 0, "with PAYLOAD send it `N` times, else stop after N "+what)
	f.Float64Var(&s.rate, "rate", 0, "send at most `N` a second (0: as fast as possible)")
	f.BoolVar(&s.failFast, "fail-fast", false, "end at the first line that cannot be sent, "+
		"instead of skipping it")
	f.StringVar(&s.version, "version-of-message", client.DefaultVersion,
		"`VERSION` of the messages, MAJOR.MINOR.PATCH")
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
	case s.count < 0 || !(s.rate >= 0): // NaN is no rate
		return usageError("--count and --rate must not be negative")
	}
	topic := "a" // of --tsv, each line has its own
	if !s.tsv {
		var err error
		if s.topic, err = template.ParseTopic(args[0]); err != nil {
			return usageError(err.Error())
		}
		if s.topic.Fixed() {
			topic = args[0]
		}
	}
	if len(args) > 1 {
		s.payload, s.given = []byte(args[1]), true
	}
	return checkHeader(topic, s.version)
}

// checkHeader finds the errors of the command line that every message would have.
func checkHeader(topic, version string) error {
	_, _, err := codec.ParseHeader([]byte("publish:"+topic+":"+version+"\n"), 1)
	switch {
	case err == nil:
		return nil
	case err.Field == "version":
		return usageError(fmt.Sprintf("--version-of-message %q: %s", version, err.Reason))
	}
	return usageError(fmt.Sprintf("%s %q %s", err.Field, topic, err.Reason))
}

// line is one message of the input.
type line struct {
	number  int // from 1
	payload []byte
	err     error // of reading; the last one
}

// each calls f with every message, in order and not faster than the rate,
// until f fails, the input ends or ctx does: interrupted when an end was in
// sight. Lines that cannot be sent are told and skipped, which is an error at
// the end.
func (s *source) each(
	ctx context.Context, f func(number int, topic string, payload []byte) error,
) error {
	lines, progress, closeInput, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer closeInput()
	start := time.Now()
	taken := 0
	for ; s.all() == 0 || taken < s.all(); taken++ {
		var l line
		var ok bool
		select {
		case l, ok = <-lines:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return s.cut(ctx, taken)
		}
		if !ok {
			break
		}
		if l.err != nil {
			return l.err
		}
		if s.rate > 0 && !waitUntil(ctx, s.due(start, taken)) {
			return s.cut(ctx, taken)
		}
		if err := s.send(l, f); err != nil {
			return err
		}
		progress.sent(len(l.payload) + 1)
	}
	if s.skipped > 0 {
		return fmt.Errorf("%s of %s could not be sent", number(s.skipped), plural(taken, "line"))
	}
	return nil
}

// send hands one line to f, or skips it.
func (s *source) send(l line, f func(number int, topic string, payload []byte) error) error {
	topic, payload, err := s.split(l.payload)
	fault := err != nil
	if !fault {
		err = f(l.number, topic, payload)
		fault = errors.Is(err, client.ErrMalformed)
	}
	switch {
	case err == nil || s.given || s.whole:
		return err
	case errors.Is(err, errSaid):
		return err
	case !fault || s.failFast:
		return fmt.Errorf("line %d: %w", l.number, err)
	}
	s.skipped++
	if s.skipped <= faultsShown {
		s.app.complain("line %d: %v", l.number, err)
	}
	if s.skipped == faultsShown {
		s.app.notice("further bad lines are only counted")
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
		return interrupted(fmt.Sprintf("after %s of %s", plural(sent, "message"), s.file))
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
		topic, err = s.topic.Of(in)
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
		return lines, s.app.progress(progress{all: s.all()}, s.prints), cancel, nil
	}
	in, of := s.app.stdin, progress{all: s.all()}
	closeInput := cancel
	if s.file != "" && s.file != "-" {
		file, err := os.Open(s.file)
		if err != nil {
			cancel()
			return nil, nil, nil, err
		}
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			of.file, of.size = s.file, info.Size()
		}
		in = file
		closeInput = func() {
			cancel()
			_ = file.Close() // It was only read.
		}
	} else if terminal.Is(in) {
		s.app.notice("reading from the terminal, %s; Ctrl-D at the start of a line ends it",
			s.unit())
	}
	if s.whole {
		go s.readWhole(ctx, in, lines)
	} else {
		go readLines(ctx, in, lines)
	}
	p := s.app.progress(of, s.prints)
	return lines, p, func() { closeInput(); p.end() }, nil
}

// unit says what one message of the input is.
func (s *source) unit() string {
	switch {
	case s.whole:
		return "all of it one payload"
	case s.tsv:
		return "a line TOPIC<tab>PAYLOAD for each message"
	}
	return "a line for each payload"
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

var errUTF16 = errors.New("the input is UTF-16: iconv -f UTF-16 -t UTF-8 makes lines of it")

// readLines skips empty lines and takes the last one without a newline too. A
// line ends with \n or \r\n, and a byte order mark belongs to no line.
func readLines(ctx context.Context, in io.Reader, lines chan<- line) {
	defer close(lines)
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 0, 64<<10), maxLine)
	for n := 1; scanner.Scan(); n++ {
		text := scanner.Bytes()
		if n == 1 {
			if mark := string(text[:min(2, len(text))]); mark == "\xff\xfe" || mark == "\xfe\xff" {
				push(ctx, lines, line{err: errUTF16})
				return
			}
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if len(text) > 0 && !push(ctx, lines, line{number: n, payload: bytes.Clone(text)}) {
			return
		}
	}
	err := scanner.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("a line has more than %s; --whole takes an input as it is",
			humanize.IBytes(maxLine))
	}
	if err != nil {
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
