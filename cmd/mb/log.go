package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/mb/terminal"
)

func (a *app) log() *cobra.Command {
	var filter client.LogFilter
	end := &ending{noun: "line"}
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Follow the broker's log",
		Example: "  mb log --level info,warn,error\n" +
			"  mb log --level debug --regex 'subscri'",
		Args: cobra.NoArgs,
	}
	filter.Levels = []string{"error"}
	wordsFlag(cmd, &filter.Levels, "level",
		"`LEVELS` to show: debug, info, warn, error; separated by commas",
		"debug", "info", "warn", "error")
	cmd.Flags().StringVar(&filter.Regex, "regex", "",
		"only lines whose message matches this `RE2` expression")
	end.register(cmd.Flags())
	cmd.RunE = work(func(ctx context.Context, _ []string) error {
		if err := end.check(); err != nil {
			return err
		}
		listening := strings.Join(filter.Levels, ", ")
		if !cmd.Flags().Changed("level") {
			listening = "errors only; --level info,warn,error shows more"
		}
		return a.followLog(ctx, filter, end, listening)
	})
	return cmd
}

func (a *app) followLog(
	ctx context.Context, filter client.LogFilter, end *ending, listening string,
) error {
	c, err := a.dial(ctx, a.follow()...)
	if err != nil {
		return end.unbegun(err)
	}
	defer func() { _ = c.Close() }() // It never fails.
	out := newOutput(a.stdout)
	end.begin()
	asked, cancel := a.ask(ctx)
	defer cancel()
	_, err = c.SubscribeLog(asked, filter, func(m client.Message) {
		if end.over() {
			return
		}
		end.next()
		out.add(func(dst []byte) []byte {
			if a.json {
				return append(append(dst, m.Payload...), '\n')
			}
			return append(append(dst, logLine(m.Payload)...), '\n')
		})
		end.printed()
	})
	if err != nil {
		_ = out.close() // The subscription's error is the one to tell.
		return err
	}
	a.notice("listening for %s", listening)
	end.listen()
	if err := a.stay(ctx, c, out, end.reached); err != nil {
		return err
	}
	return end.result(ctx)
}

// logLine is a line of the log for people: time, level, module, message, and
// the attributes by name.
func logLine(payload []byte) string {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber() // 3932156, not 3.932156e+06
	if d.Decode(&fields) != nil {
		return terminal.Cell(string(payload))
	}
	text := func(key string) string {
		v, ok := fields[key]
		delete(fields, key)
		if !ok {
			return ""
		}
		return terminal.Cell(fmt.Sprint(v))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-5s", text("timestamp"), strings.ToUpper(text("level")))
	if module := text("module"); module != "" {
		b.WriteString(" [" + module + "]")
	}
	b.WriteString(" " + text("message"))
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		b.WriteString(" " + terminal.Cell(key) + "=" + text(key))
	}
	return b.String()
}
