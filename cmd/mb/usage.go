package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageError is an error of the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// wordValues says what the values of flags look like, by pflag's name of the type.
var wordValues = map[string]string{
	"bool": "true or false", "int": "a whole number", "float64": "a number",
	"duration": "a time with its unit, such as 5s or 300ms",
	"intSlice": "whole numbers with commas between them",
}

// flagError says in the words of the command line what pflag found.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			return usageError("unknown flag -" + name)
		}
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, "--"+f.Name)
			}
		})
		return usageError("unknown flag --" + name + didYouMean("--"+name, known))
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		what := wordValues[f.Value.Type()]
		if what == "" {
			what = invalid.Unwrap().Error()
		}
		return usageError(fmt.Sprintf("--%s %q: must be %s", f.Name, invalid.GetValue(), what))
	case errors.As(err, &missing):
		value, _ := pflag.UnquoteUsage(missing.GetFlag())
		return usageError("--" + missing.GetFlag().Name + ": " + value + " is missing")
	}
	return usageError(err.Error())
}

// speakPlainly makes what cobra says of arguments, for the command and those
// below it, plain.
func speakPlainly(cmd *cobra.Command) {
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if check == nil || check(cmd, args) == nil {
			return nil
		}
		return argumentError(cmd, args)
	}
	for _, below := range cmd.Commands() {
		speakPlainly(below)
	}
}

// argumentError says what is wrong with the number of arguments, by the
// command's own line of usage.
func argumentError(cmd *cobra.Command, args []string) error {
	if cmd.HasSubCommands() && len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	names := strings.Fields(cmd.Use)[1:]
	if len(args) < len(names) && !strings.HasPrefix(names[len(args)], "[") {
		name := strings.TrimSuffix(names[len(args)], "...")
		return usageError(fmt.Sprintf("%s is missing: %s", name, cmd.UseLine()))
	}
	return usageError(fmt.Sprintf("unexpected argument %q: %s",
		args[min(len(names), len(args)-1)], cmd.UseLine()))
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var known []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	return usageError(fmt.Sprintf("unknown command %q%s", name, didYouMean(name, known)))
}

// words is the value of a flag that is one of a few words, or some of them with
// commas between them.
type words struct {
	known []string
	one   *string
	some  *[]string // when one is nil
	set   bool      // the default gives way to the first value
}

// wordFlag adds a flag whose value is one of the known words.
func wordFlag(cmd *cobra.Command, value *string, name, usage string, known ...string) {
	addWords(cmd, &words{known: known, one: value}, name, usage)
}

// wordsFlag adds a flag whose value is a list of the known words.
func wordsFlag(cmd *cobra.Command, value *[]string, name, usage string, known ...string) {
	addWords(cmd, &words{known: known, some: value}, name, usage)
}

// choice is wordFlag with the first word as default and all of them in usage.
func choice(cmd *cobra.Command, value *string, name, usage string, known ...string) {
	*value = known[0]
	wordFlag(cmd, value, name, usage+": "+strings.Join(known, ", "), known...)
}

func addWords(cmd *cobra.Command, w *words, name, usage string) {
	cmd.Flags().Var(w, name, usage)
	// It fails for flags that are not there.
	_ = cmd.RegisterFlagCompletionFunc(name, func(
		_ *cobra.Command, _ []string, begun string,
	) ([]string, cobra.ShellCompDirective) {
		return w.complete(begun), cobra.ShellCompDirectiveNoFileComp
	})
}

func (w *words) String() string {
	switch {
	case w.one != nil:
		return *w.one
	case w.some != nil:
		return strings.Join(*w.some, ",")
	}
	return ""
}

// Type is what help shows when the usage does not name the value.
func (w *words) Type() string { return "word" }

func (w *words) Set(text string) error {
	all := []string{text}
	if w.one == nil {
		all = strings.Split(text, ",")
	}
	for i, word := range all {
		if all[i] = strings.ToLower(strings.TrimSpace(word)); !slices.Contains(w.known, all[i]) {
			return errors.New(w.phrase() + didYouMean(word, w.known))
		}
	}
	switch {
	case w.one != nil:
		*w.one = all[0]
	case w.set:
		*w.some = append(*w.some, all...)
	default:
		*w.some, w.set = all, true
	}
	return nil
}

func (w *words) phrase() string {
	last := len(w.known) - 1
	return strings.Join(w.known[:last], ", ") + " or " + w.known[last]
}

// complete returns the values that begin as begun does.
func (w *words) complete(begun string) []string {
	before := ""
	if at := strings.LastIndexByte(begun, ','); w.one == nil && at >= 0 {
		before = begun[:at+1]
	}
	var all []string
	for _, word := range w.known {
		if strings.HasPrefix(before+word, begun) &&
			!slices.Contains(strings.Split(before, ","), word) {
			all = append(all, before+word)
		}
	}
	return all
}
