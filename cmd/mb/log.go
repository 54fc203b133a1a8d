package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"mbserver/client"
)

func (a *app) log() *cobra.Command {
	var filter client.LogFilter
	var count int
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Follow the broker's log",
		Example: "  mb log --level info,warn,error\n" +
			"  mb log --level debug --regex 'subscri'",
		Args: cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error {
			if count < 0 {
				return usageError("--count must not be negative")
			}
			for _, level := range filter.Levels {
				if !slices.Contains([]string{"debug", "info", "warn", "error"}, level) {
					return usageError(fmt.Sprintf("--level %q: debug, info, warn or error", level))
				}
			}
			return a.followLog(ctx, filter, count)
		}),
	}
	cmd.Flags().StringSliceVar(&filter.Levels, "level", []string{"error"},
		"`LEVELS` to show: debug, info, warn, error; separated by commas")
	cmd.Flags().StringVar(&filter.Regex, "regex", "", "only lines that match this `RE2` expression")
	cmd.Flags().IntVarP(&count, "count", "n", 0, "end after `N` lines")
	return cmd
}

func (a *app) followLog(ctx context.Context, filter client.LogFilter, count int) error {
	c, err := a.dial(ctx, a.follow()...)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // It never fails.
	out := newOutput(a.stdout)
	enough := make(chan struct{})
	var shown atomic.Int64 // written by the dispatch goroutine
	asked, cancel := a.ask(ctx)
	defer cancel()
	_, err = c.SubscribeLog(asked, filter, func(m client.Message) {
		if count > 0 && shown.Load() >= int64(count) {
			return
		}
		out.add(func(dst []byte) []byte {
			if a.json {
				return append(append(dst, m.Payload...), '\n')
			}
			return append(append(dst, logLine(m.Payload)...), '\n')
		})
		if shown.Add(1) == int64(count) {
			close(enough)
		}
	})
	if err != nil {
		_ = out.close() // The subscription's error is the one to tell.
		return err
	}
	if err := a.stay(ctx, c, out, enough); err != nil {
		return err
	}
	return cut(ctx, int(shown.Load()), count, "line")
}

// logLine is a line of the log for people: time, level, module, message, and
// the attributes by name.
func logLine(payload []byte) string {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber() // 3932156, not 3.932156e+06
	if d.Decode(&fields) != nil {
		return cell(string(payload))
	}
	text := func(key string) string {
		v, ok := fields[key]
		delete(fields, key)
		if !ok {
			return ""
		}
		return cell(fmt.Sprint(v))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-5s", text("timestamp"), strings.ToUpper(text("level")))
	if module := text("module"); module != "" {
		b.WriteString(" [" + module + "]")
	}
	b.WriteString(" " + text("message"))
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		b.WriteString(" " + cell(key) + "=" + text(key))
	}
	return b.String()
}
