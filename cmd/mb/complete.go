package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mbserver/cmd/mb/terminal"
)

// completionPatience bounds what a completion may take: a broker that does not
// answer must not hold a shell up.
const completionPatience = 500 * time.Millisecond

// completion is what cobra calls for the values of arguments and flags.
type completion = func(cmd *cobra.Command, args []string, begun string) (
	[]string, cobra.ShellCompDirective)

// completions adds what is known only when asked: the topics and services of
// the broker, the saved contexts.
func (a *app) completions(root *cobra.Command) {
	below := func(name string) *cobra.Command {
		cmd, _, _ := root.Find([]string{name}) // It is there, as the tests show.
		return cmd
	}
	below("sub").ValidArgsFunction = a.live(a.patterns("publish", false))
	below("pub").ValidArgsFunction = first(a.live(a.patterns("publish", true)))
	below("request").ValidArgsFunction = first(a.live(a.patterns("request", true)))
	below("reply").ValidArgsFunction = first(a.live(a.patterns("request", false)))
	for _, deed := range []string{"kick", "mute", "unsubscribe"} {
		below(deed).ValidArgsFunction = first(a.live(a.serviceIDs))
	}
	// Runnable, it notices arguments that it does not know.
	below("completion").RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	below("bench").ValidArgsFunction = beginning(scenarioNames())
	// These fail for flags that are not there, and the tests show that they are.
	_ = root.RegisterFlagCompletionFunc("context", completeContexts)
	_ = below("metrics").RegisterFlagCompletionFunc("service", a.live(a.serviceIDs))
	_ = below("metrics").RegisterFlagCompletionFunc("filter", a.live(a.metricNames))
	_ = below("subscriptions").RegisterFlagCompletionFunc("service", a.live(a.serviceIDs))
	_ = below("explain").RegisterFlagCompletionFunc("topic", a.live(a.patterns("publish", true)))
	_ = below("explain").RegisterFlagCompletionFunc("arm", a.live(a.patterns("publish", false)))
	_ = below("explain").RegisterFlagCompletionFunc("arm-service", a.live(a.serviceIDs))
	_ = below("subscriptions").RegisterFlagCompletionFunc("topic",
		a.live(a.patterns("publish", true)))
}

// first completes the first argument alone.
func first(complete completion) completion {
	return func(cmd *cobra.Command, args []string, begun string) (
		[]string, cobra.ShellCompDirective,
	) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, begun)
	}
}

// beginning completes with those of all that begin so.
func beginning(all []string) completion {
	return func(_ *cobra.Command, _ []string, begun string) (
		fit []string, _ cobra.ShellCompDirective,
	) {
		for _, word := range all {
			if strings.HasPrefix(word, begun) {
				fit = append(fit, word)
			}
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}

// live asks the broker, in bounded time and without a word when it does not answer.
func (a *app) live(list func(ctx context.Context) ([]string, error)) completion {
	return func(cmd *cobra.Command, args []string, begun string) (
		[]string, cobra.ShellCompDirective,
	) {
		const directive = cobra.ShellCompDirectiveNoFileComp
		ctx, cancel := context.WithTimeout(context.Background(), completionPatience)
		defer cancel()
		a.timeout, a.quiet = min(max(a.timeout, 1), completionPatience), true
		// What a token of - stands for is not there to be read.
		if a.choose(cmd.Flags()) != nil || a.tokenAsked(cmd) {
			return nil, directive
		}
		all, err := list(ctx)
		if err != nil {
			return nil, directive
		}
		var fit []string
		more := cobra.ShellCompDirectiveNoFileComp
		for _, word := range all {
			name, _, _ := strings.Cut(word, "\t")
			if !strings.HasPrefix(strings.ToLower(name), strings.ToLower(begun)) {
				continue
			}
			if fit = append(fit, word); strings.HasSuffix(name, ".") {
				more |= cobra.ShellCompDirectiveNoSpace
			}
		}
		return fit, more
	}
}

// patterns lists the patterns that somebody subscribes to with the action. With
// topics it lists what topics that match them begin with.
func (a *app) patterns(action string, topics bool) func(ctx context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		var answer struct {
			Subscriptions []struct{ Action, Topic string }
		}
		if err := a.system(ctx, "system.topic.subscriptions", nil, &answer); err != nil {
			return nil, err
		}
		var all []string
		for _, s := range answer.Subscriptions {
			topic := s.Topic
			if topics {
				topic = topic[:strings.IndexAny(topic+"#", "+#")]
			}
			if s.Action == action && topic != "" {
				all = append(all, topic)
			}
		}
		return all, nil
	}
}

// serviceIDs lists the services, with their names behind a tab, as cobra has
// descriptions.
func (a *app) serviceIDs(ctx context.Context) ([]string, error) {
	var answer struct{ Services []service }
	err := a.system(ctx, "system.service.list", nil, &answer)
	all := make([]string, len(answer.Services))
	for i, s := range answer.Services {
		if all[i] = s.ID; s.Name != "" {
			all[i] += "\t" + terminal.Cell(s.Name)
		}
	}
	return all, err
}

func (a *app) metricNames(ctx context.Context) ([]string, error) {
	var answer struct{ Metrics map[string]any }
	err := a.system(ctx, "system.metrics", nil, &answer)
	all := make([]string, 0, len(answer.Metrics))
	for name := range answer.Metrics {
		all = append(all, name)
	}
	return all, err
}

func completeContexts(_ *cobra.Command, args []string, _ string) (
	[]string, cobra.ShellCompDirective,
) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	file, err := contextFile()
	if err != nil || len(args) > 0 {
		return nil, directive
	}
	return file.Names(), directive
}
