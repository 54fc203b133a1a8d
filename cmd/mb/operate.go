package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/mb/observe"
	"mbserver/cmd/mb/terminal"
	"mbserver/codec"
	"mbserver/topic"
)

// acted is what was done to a connection.
type acted struct {
	Done       string `json:"done"` // kicked, muted, unmuted, unsubscribed
	ServiceID  string `json:"serviceId"`
	Name       string `json:"name,omitempty"` // as far as it was asked for
	DurationMs *int64 `json:"durationMs,omitempty"`
	Topic      string `json:"topic,omitempty"`
	Ended      *int   `json:"ended,omitempty"` // subscriptions
}

const targetHelp = "\n\nThe connection is that of SERVICE: its ID, or its name when no other " +
	"has the same (see mb connections). It takes the\nword admin of a role, and service.list for " +
	"a name; on a node that asks nobody who they are, admin.operator: true, and\nto be on the " +
	"node's own machine."

func (a *app) kick() *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use:   "kick SERVICE",
		Short: "Close a connection",
		Long: "Close a connection: it is told why, and what it has lost until then. Requests " +
			"that it has not answered fail at once.\nNothing keeps it from connecting again; " +
			"clients do, after a while." + targetHelp,
		Example: "  mb kick clock\n" +
			"  mb kick 6f9f1c3e-58b6-4b6c-9d6c-2f1f5d0c7a11 --reason 'too loud'",
		Args: cobra.ExactArgs(1),
		RunE: work(func(ctx context.Context, args []string) error {
			payload := map[string]any{}
			if reason != "" {
				payload["reason"] = reason
			}
			return a.act(ctx, args[0], "kick", payload, &acted{Done: "kicked"})
		}),
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` that it is told")
	return cmd
}

func (a *app) mute() *cobra.Command {
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "mute SERVICE",
		Short: "Let a connection send nothing for a while",
		Long: "Let a connection send nothing for a while: what it sends is refused, but " +
			"heartbeats and answers to requests. It still\ngets what it is subscribed to, but no " +
			"requests: others do, or they wait. It ends by itself; another mute takes the\nplace " +
			"of the last, and --for 0 ends it." + targetHelp,
		Example: "  mb mute clock --for 10m\n  mb mute clock --for 0",
		Args:    cobra.ExactArgs(1),
		RunE: work(func(ctx context.Context, args []string) error {
			ms := length.Milliseconds()
			if length < 0 || length > 24*time.Hour || length > 0 && ms == 0 {
				return usageError("--for is 0, or 1ms to 24h")
			}
			done := &acted{Done: "muted", DurationMs: &ms}
			if ms == 0 {
				done.Done = "unmuted"
			}
			return a.act(ctx, args[0], "mute", map[string]any{"durationMs": ms}, done)
		}),
	}
	cmd.Flags().DurationVar(&length, "for", time.Minute, "for how `LONG`, up to 24h; 0 ends it")
	return cmd
}

func (a *app) unsubscribe() *cobra.Command {
	action := ""
	cmd := &cobra.Command{
		Use:   "unsubscribe SERVICE TOPIC",
		Short: "End a subscription of a connection",
		Long: "End the subscriptions of a connection with exactly this pattern (mb " +
			"subscriptions --service): it is told, and what\nwaits for it because of them is " +
			"taken back. Nothing keeps it from subscribing again." + targetHelp,
		Example: "  mb unsubscribe clock 'flights.#'\n  mb unsubscribe clock time --action request",
		Args:    cobra.ExactArgs(2),
		RunE: work(func(ctx context.Context, args []string) error {
			p, err := topic.ParsePattern(args[1])
			if err != nil {
				return usageError(err.Error())
			}
			return a.act(ctx, args[0], "unsubscribe",
				map[string]any{"topic": p.String(), "action": action},
				&acted{Done: "unsubscribed", Topic: p.String()})
		}),
	}
	choice(cmd, &action, "action", "only subscriptions for `ACTION`", "both", "publish", "request")
	return cmd
}

// act has the node do something to the connection of a service, and prints what it was.
func (a *app) act(
	ctx context.Context, service, deed string, payload map[string]any, done *acted,
) error {
	v, err := a.visit(ctx, client.WithoutReconnect())
	if err != nil {
		return err
	}
	defer v.close()
	if err := v.target(ctx, service, done); err != nil {
		return err
	}
	payload["serviceId"] = done.ServiceID
	var answer struct{ Ended *int }
	if err := v.Ask(ctx, "system.connection."+deed, payload, &answer); err != nil {
		return err
	}
	done.Ended = answer.Ended
	if a.json {
		return objects(a, []acted{*done})
	}
	_, err = fmt.Fprintln(a.stdout, done)
	return err
}

// String is what was done, in words.
func (d *acted) String() string {
	s := d.Done + " " + d.ServiceID
	if d.Name != "" {
		s += " (" + terminal.Cell(d.Name) + ")"
	}
	switch {
	case d.DurationMs != nil && *d.DurationMs > 0:
		s += " for " + (time.Duration(*d.DurationMs) * time.Millisecond).String()
	case d.Ended != nil:
		s += fmt.Sprintf(" from %s: %s", d.Topic, plural(*d.Ended, "subscription"))
	}
	return s
}

// target finds the service that is meant, by its ID or by its name.
func (v *visit) target(ctx context.Context, service string, done *acted) error {
	if _, is := codec.ParseUUID([]byte(service)); is {
		done.ServiceID = strings.ToLower(service)
		return nil
	}
	all, err := v.Connections(ctx)
	if err != nil {
		return err
	}
	var named []observe.Connection
	for _, c := range all {
		if c.Name == service {
			named = append(named, c)
		}
	}
	switch len(named) {
	case 0:
		return fmt.Errorf("no service is called %q (mb connections lists them)", service)
	case 1:
		done.ServiceID, done.Name = named[0].ID, service
		return nil
	}
	var list strings.Builder
	for _, c := range named {
		list.WriteString("\n  " + c.ID)
		if c.Remote != "" {
			list.WriteString("  " + c.Remote)
		}
	}
	return fmt.Errorf("%d services are called %q; say which by its ID:%s", len(named), service,
		&list)
}
