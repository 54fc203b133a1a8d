package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/mb/template"
	"mbserver/codec"
)

// subscriber is one run of mb sub: it prints on the dispatch goroutine.
type subscriber struct {
	app         *app
	ending      ending
	overflow    string
	conflate    bool
	payloadOnly bool
	format      string

	line   *template.Line // nil without --format
	out    *output
	lastID string
}

func (a *app) sub() *cobra.Command {
	s := &subscriber{app: a, ending: ending{noun: "message"}}
	cmd := &cobra.Command{
		Use:     "sub PATTERN...",
		Aliases: []string{"subscribe"},
		Short:   "Subscribe and print messages",
		Long: "Subscribe to the patterns (a level may be +, the last one #) and print every " +
			"message: topic, a space, payload. With\n" +
			"--json one object a line: topic, version, id, payload (JSON when it is JSON, else a " +
			"string, base64 when it is not text), time.\n\n" +
			"--format prints a text with these fields, and a newline:\n" + formatFields() +
			"{{, }}, \\n, \\t and \\\\ stand for {, }, a newline, a tab and \\.\n\n" +
			"On a terminal, what would act on it is made visible: \\u001b. Gaps, when the " +
			"broker had to drop messages, are told on\n" +
			"standard error. A lost connection is made again.",
		Example: "  mb sub 'news.#' --json\n  mb sub 'flights.+.+.late' --count 10 --wait 5s\n" +
			"  mb sub 'flights.#' --format '{number} {clock} {topic.2}: {payload.delay}'",
		Args: cobra.MinimumNArgs(1),
		RunE: work(s.run),
	}
	f := cmd.Flags()
	s.ending.register(f)
	wordFlag(cmd, &s.overflow, "overflow", "what the broker does when this subscriber is too "+
		"slow: `POLICY` drop (new messages are lost), drop-oldest (those that waited longest "+
		"are, although their publishers were told that they were delivered) or disconnect; "+
		"without it the node's own policy", "drop", "drop-oldest", "disconnect")
	f.BoolVar(&s.conflate, "conflate", false,
		"while too slow, keep only the newest message of each topic")
	f.BoolVar(&s.payloadOnly, "payload-only", false, "print payloads without their topics")
	f.StringVar(&s.format, "format", "", "print `TEXT` for each message, see above")
	cmd.MarkFlagsMutuallyExclusive("payload-only", "format")
	return cmd
}

// formatFields is the fields of --format for the help.
func formatFields() string {
	var b strings.Builder
	for _, f := range template.Fields {
		fmt.Fprintf(&b, "  %-10s %s\n", "{"+f[0]+"}", f[1])
	}
	return b.String()
}

func (s *subscriber) run(ctx context.Context, patterns []string) error {
	if err := s.ending.check(); err != nil {
		return err
	}
	if s.format != "" {
		if s.app.json {
			return usageError("--format and --json exclude each other")
		}
		line, err := template.ParseLine(s.format)
		if err != nil {
			return usageError("--format: " + err.Error())
		}
		s.line = line
	}
	c, err := s.app.dial(ctx, s.app.follow()...)
	if err != nil {
		return s.ending.unbegun(err)
	}
	defer func() { _ = c.Close() }() // It never fails.
	s.ending.begin()
	s.out = newOutput(s.app.stdout)
	if err := s.subscribe(ctx, c, patterns); err != nil {
		_ = s.out.close() // The subscription's error is the one to tell.
		return err
	}
	s.app.notice("subscribed to %s", strings.Join(patterns, ", "))
	s.ending.listen()
	if err := s.app.stay(ctx, c, s.out, s.ending.reached); err != nil {
		return err
	}
	return s.ending.result(ctx)
}

func (s *subscriber) subscribe(ctx context.Context, c *client.Client, patterns []string) error {
	var opts []client.SubOption
	if s.overflow != "" {
		opts = append(opts, client.WithOverflow(s.overflow))
	}
	if s.conflate {
		opts = append(opts, client.WithConflation())
	}
	s.app.standing.expect(len(patterns))
	for _, pattern := range patterns {
		asked, cancel := s.app.ask(ctx)
		_, err := c.Subscribe(asked, pattern, s.print, opts...)
		cancel()
		if err != nil {
			return patternError(pattern, err)
		}
	}
	return nil
}

// patternError says how MB writes what other brokers' users write otherwise.
func patternError(pattern string, err error) error {
	if !errors.Is(err, client.ErrInvalidRequest) || !strings.ContainsAny(pattern, "*>/") {
		return err
	}
	ours := strings.NewReplacer("/", ".", "*", "+", ">", "#").Replace(pattern)
	return fmt.Errorf("%w; levels are joined by dots, + is any one level and # at the end any "+
		"number of them: %s?", err, ours)
}

func (s *subscriber) print(m client.Message) {
	if s.ending.over() {
		return
	}
	// A message that matches several patterns comes once, but calls once for each.
	if id := m.ID(); id != "" {
		if id == s.lastID {
			return
		}
		s.lastID = id
	}
	n := s.ending.next()
	s.out.add(func(dst []byte) []byte {
		switch {
		case s.app.json:
			return appendMessage(dst, m, time.Now())
		case s.line != nil:
			dst = s.line.Append(dst, &template.Message{
				Number: n, Topic: m.Topic, Version: m.Version, ID: m.ID(), Payload: m.Payload,
				Arrived: time.Now(),
			})
			return append(dst, '\n')
		case !s.payloadOnly:
			dst = append(append(dst, m.Topic...), ' ')
		}
		return append(append(dst, m.Payload...), '\n')
	})
	s.ending.printed()
}

// appendMessage appends m as one line of JSON; at is when it arrived.
func appendMessage(dst []byte, m client.Message, at time.Time) []byte {
	dst = codec.AppendJSONQuoted(append(dst, `{"topic":`...), m.Topic)
	dst = codec.AppendJSONQuoted(append(dst, `,"version":`...), m.Version)
	if id := m.ID(); id != "" {
		dst = codec.AppendJSONQuoted(append(dst, `,"id":`...), id)
	}
	dst = appendPayload(dst, m.Payload)
	dst = codec.AppendTimestamp(append(dst, `,"time":"`...), at.UnixMilli())
	return append(dst, "\"}\n"...)
}

// appendPayload appends the member "payload": the JSON itself when it is JSON,
// else a string, with "encoding":"base64" beside it when it is not UTF-8. The
// audit's form (protocol §8).
func appendPayload(dst, payload []byte) []byte {
	dst = append(dst, `,"payload":`...)
	switch {
	case utf8.Valid(payload) && json.Valid(payload):
		var line bytes.Buffer
		if json.Compact(&line, payload) == nil {
			return append(dst, line.Bytes()...)
		}
		return codec.AppendJSONString(dst, payload)
	case utf8.Valid(payload):
		return codec.AppendJSONString(dst, payload)
	default:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, payload)
		return append(dst, `","encoding":"base64"`...)
	}
}
