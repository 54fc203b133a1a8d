package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mbserver/cmd/mb/terminal"
)

// Columns of help: those of the terminal within bounds, else helpWidth.
const (
	helpNarrow = 50
	helpWidth  = 100
)

// commandGroups is how the commands are listed; what is in none comes last.
var commandGroups = []struct {
	title string
	names []string
}{
	{"Messages", []string{"pub", "sub", "request", "reply"}},
	{"The node", []string{"top", "ping", "info", "check", "nodes", "services", "connections",
		"topics", "subscriptions", "metrics", "log"}},
	{"Acting on it", []string{"kick", "mute", "unsubscribe", "drain"}},
	{"", nil},
}

// help prints what a command is for and what it takes.
func (a *app) help(cmd *cobra.Command) {
	width := helpWidth
	if columns := terminal.Columns(a.out.w); columns > 0 {
		width = min(max(columns, helpNarrow), helpWidth)
	}
	var b strings.Builder
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	b.WriteString(fill(text, width) + "\n\nUsage:\n")
	if cmd.Runnable() && (cmd.HasParent() || !cmd.HasAvailableSubCommands()) {
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND\n", cmd.CommandPath())
	}
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(&b, "  (or %s)\n", strings.Join(cmd.Aliases, ", "))
	}
	if cmd.HasExample() {
		b.WriteString("\nExamples:\n" + cmd.Example + "\n")
	}
	helpCommands(&b, cmd)
	if cmd.HasAvailableLocalFlags() {
		b.WriteString("\nFlags:\n" + flagUsages(cmd.LocalFlags(), width))
	}
	if cmd.HasAvailableInheritedFlags() {
		b.WriteString("\nFlags of all commands:\n" + flagUsages(cmd.InheritedFlags(), width))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n%s COMMAND --help says more about a command.\n", cmd.CommandPath())
	}
	_, _ = a.stdout.Write([]byte(b.String())) // The outlet remembers an error.
}

// helpCommand is cobra's, but knows when there is no such command.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:                   "help [COMMAND...]",
		Short:                 "Say what a command is for",
		DisableFlagsInUseLine: true,
		PersistentPreRunE:     func(*cobra.Command, []string) error { return nil },
		RunE: func(cmd *cobra.Command, args []string) error {
			meant := cmd.Root()
			for _, name := range args {
				below, _, err := meant.Find([]string{name})
				if err != nil || below == meant {
					return unknownCommand(meant, name)
				}
				meant = below
			}
			a.help(meant)
			return nil
		},
	}
}

func helpCommands(b *strings.Builder, cmd *cobra.Command) {
	listed := make(map[string]bool)
	for _, group := range commandGroups {
		var lines []string
		line := func(c *cobra.Command) {
			if c.IsAvailableCommand() && !listed[c.Name()] {
				listed[c.Name()] = true
				lines = append(lines, fmt.Sprintf("  %-13s  %s\n", c.Name(), c.Short))
			}
		}
		for _, name := range group.names {
			for _, c := range cmd.Commands() {
				if c.Name() == name && !cmd.HasParent() {
					line(c)
				}
			}
		}
		title := group.title
		if group.names == nil {
			for _, c := range cmd.Commands() {
				line(c)
			}
			if title = "More"; cmd.HasParent() {
				title = "Commands"
			}
		}
		if len(lines) > 0 {
			b.WriteString("\n" + title + ":\n" + strings.Join(lines, ""))
		}
	}
}

// plainBool hides from pflag that a flag may stand alone, which it would write
// behind each as [=true|false].
type plainBool struct{ pflag.Value }

func flagUsages(flags *pflag.FlagSet, width int) string {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.VisitAll(func(f *pflag.Flag) {
		own := *f
		if own.Value.Type() == "bool" {
			own.Value = plainBool{f.Value}
		}
		shown.AddFlag(&own)
	})
	return shown.FlagUsagesWrapped(width)
}

// fill breaks paragraphs into lines of at most width columns. A line that is
// empty or indented stays as it is, and ends a paragraph.
func fill(text string, width int) string {
	var b strings.Builder
	column := 0
	end := func() {
		if column > 0 {
			b.WriteByte('\n')
		}
		column = 0
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' {
			end()
			b.WriteString(line + "\n")
			continue
		}
		for _, word := range strings.Fields(line) {
			n := utf8.RuneCountInString(word)
			switch {
			case column > 0 && column+1+n > width:
				end()
			case column > 0:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += n
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
