// Package manual writes manual pages and shell completions of a program's commands, as packages
// install them. Only builds with the tag "manual" import it: the programs themselves carry none of
// it.
package manual

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"mbserver/cmd/internal/build"
)

// Write writes below dir what is known of root and of the commands below it: man/man1 or man/man8,
// by section, completions/bash/NAME, completions/zsh/_NAME and completions/fish/NAME.fish. The
// pages bear the date, and nothing else that differs from one run to the next.
func Write(root *cobra.Command, section string, date time.Time, dir string) error {
	spell(root)
	name, pages := root.Name(), filepath.Join(dir, "man", "man"+section)
	completions := filepath.Join(dir, "completions")
	for _, d := range []string{
		pages, filepath.Join(completions, "bash"), filepath.Join(completions, "zsh"),
		filepath.Join(completions, "fish"),
	} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	date = date.UTC()
	header := &doc.GenManHeader{
		Section: section, Date: &date, Source: "MB Server Node " + build.Version,
		Manual: "MB Server Node",
	}
	return errors.Join(
		root.GenBashCompletionFileV2(filepath.Join(completions, "bash", name), true),
		root.GenZshCompletionFile(filepath.Join(completions, "zsh", "_"+name)),
		root.GenFishCompletionFile(filepath.Join(completions, "fish", name+".fish"), true),
		doc.GenManTree(root, header, pages),
	)
}

// spell makes of the texts, which are written for terminals, what the pages are made of, which is
// Markdown.
func spell(cmd *cobra.Command) {
	cmd.DisableAutoGenTag = true
	cmd.InitDefaultVersionFlag()
	cmd.Long = paragraphs(cmd.Long)
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) { f.Usage = escape(f.Usage) })
	for _, below := range cmd.Commands() {
		spell(below)
	}
}

// paragraphs has indented lines stand as they are, and the marks of Markdown mean themselves.
func paragraphs(text string) string {
	var b strings.Builder
	for block := range strings.SplitSeq(text, "\n\n") {
		lines := strings.Split(block, "\n")
		if slices.ContainsFunc(lines, func(s string) bool { return strings.HasPrefix(s, "  ") }) {
			fmt.Fprintf(&b, "```\n%s\n```\n\n", block)
			continue
		}
		b.WriteString(escape(block) + "\n\n")
	}
	return strings.TrimSpace(b.String())
}

var marks = strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`, "[", `\[`, "#", `\#`, "|", `\|`)

func escape(text string) string { return marks.Replace(text) }

// Main writes what Write does when the command line is "manual DIRECTORY", and says whether it was.
// The date is that of SOURCE_DATE_EPOCH, in seconds since 1970, else today's.
func Main(arguments []string, section string, root func() *cobra.Command) (was bool) {
	if len(arguments) != 2 || arguments[0] != "manual" {
		return false
	}
	date := time.Now()
	var seconds int64
	if _, err := fmt.Sscan(os.Getenv("SOURCE_DATE_EPOCH"), &seconds); err == nil {
		date = time.Unix(seconds, 0)
	}
	if err := Write(root(), section, date, arguments[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}
