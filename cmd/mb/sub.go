package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/codec"
)

// subscriber is one run of mb sub: it prints on the dispatch goroutine.
type subscriber struct {
	app         *app
	count       int
	overflow    string
	conflate    bool
	payloadOnly bool

	out     *output
	printed atomic.Int64 // written by the dispatch goroutine
	lastID  string
	enough  chan struct{}
}

func (a *app) sub() *cobra.Command {
	s := &subscriber{app: a}
	cmd := &cobra.Command{
		Use:   "sub PATTERN...",
		Short: "Subscribe and print messages",
		Long: "Subscribe to the patterns (a level may be +, the last one #) and print every " +
			"message: topic, a space, payload. With\n" +
			"--json one object a line: topic, version, id, payload (JSON when it is JSON, else a " +
			"string, base64 when it is not text), time.\n\n" +
			"Gaps, when the broker had to drop messages, are told on standard error. A lost " +
			"connection is made again.",
		Example: "  mb sub 'news.#' --json\n  mb sub 'flights.+.+.late' --count 10",
		Args:    cobra.MinimumNArgs(1),
		RunE:    work(s.run),
	}
	f := cmd.Flags()
	f.IntVarP(&s.count, "count", "n", 0, "end after `N` messages")
	f.StringVar(&s.overflow, "overflow", "", "what the broker does when this subscriber is "+
		"too slow: `POLICY` drop, drop-oldest or disconnect")
	f.BoolVar(&s.conflate, "conflate", false,
		"while too slow, keep only the newest message of each topic")
	f.BoolVar(&s.payloadOnly, "payload-only", false, "print payloads without their topics")
	return cmd
}

func (s *subscriber) run(ctx context.Context, patterns []string) error {
	switch s.overflow {
	case "", "drop", "drop-oldest", "disconnect":
	default:
		return usageError("--overflow is drop, drop-oldest or disconnect")
	}
	if s.count < 0 {
		return usageError("--count must not be negative")
	}
	c, err := s.app.dial(ctx, s.app.follow()...)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // It never fails.
	s.enough = make(chan struct{})
	s.out = newOutput(s.app.stdout)
	var opts []client.SubOption
	if s.overflow != "" {
		opts = append(opts, client.WithOverflow(s.overflow))
	}
	if s.conflate {
		opts = append(opts, client.WithConflation())
	}
	for _, pattern := range patterns {
		asked, cancel := s.app.ask(ctx)
		_, err := c.Subscribe(asked, pattern, s.print, opts...)
		cancel()
		if err != nil {
			_ = s.out.close() // The subscription's error is the one to tell.
			return err
		}
	}
	if err := s.app.stay(ctx, c, s.out, s.enough); err != nil {
		return err
	}
	return cut(ctx, int(s.printed.Load()), s.count, "message")
}

func (s *subscriber) print(m client.Message) {
	if s.count > 0 && s.printed.Load() >= int64(s.count) {
		return
	}
	// A message that matches several patterns comes once, but calls once for each.
	if id := m.ID(); id != "" {
		if id == s.lastID {
			return
		}
		s.lastID = id
	}
	s.out.add(func(dst []byte) []byte {
		switch {
		case s.app.json:
			return appendMessage(dst, m, time.Now())
		case !s.payloadOnly:
			dst = append(append(dst, m.Topic...), ' ')
		}
		return append(append(dst, m.Payload...), '\n')
	})
	if s.printed.Add(1) == int64(s.count) {
		close(s.enough)
	}
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
	case json.Valid(payload):
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
