package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mbserver/client"
	"mbserver/cmd/mb/observe"
	"mbserver/cmd/mb/terminal"
	"mbserver/topic"
)

// subscriptionQuery is one run of mb subscriptions.
type subscriptionQuery struct {
	selection
	action  string
	matches string // a topic
	service string // an ID or a name
	each    bool
}

var (
	subscriptionOrders  = []string{"topic", "subscribers"}
	subscriptionActions = []string{"any", "publish", "request"}
)

func (a *app) subscriptions() *cobra.Command {
	q := &subscriptionQuery{}
	cmd := &cobra.Command{
		Use:   "subscriptions",
		Short: "List who subscribes to what",
		Long: "List the patterns that somebody subscribes to, for publishes and for requests, " +
			"and by whom. With --topic only those\n" +
			"that take a message on TOPIC: who would get it? Of the subscribers for requests one " +
			"does: of the highest priority.",
		Example: "  mb subscriptions --topic flights.sfo.lax.late\n" +
			"  mb subscriptions --service clock --each\n" +
			"  mb subscriptions --action publish --sort subscribers --limit 10",
		Args: cobra.NoArgs,
		RunE: work(func(ctx context.Context, _ []string) error {
			if err := q.check(); err != nil {
				return err
			}
			return a.listSubscriptions(ctx, q)
		}),
	}
	q.register(cmd, subscriptionOrders...)
	choice(cmd, &q.action, "action", "only subscriptions for `ACTION`", subscriptionActions...)
	f := cmd.Flags()
	f.StringVar(&q.matches, "topic", "", "only patterns that take messages on `TOPIC`")
	f.StringVar(&q.service, "service", "", "only those of the service with this ID or `NAME`")
	f.BoolVar(&q.each, "each", false, "a row for each subscriber")
	return cmd
}

func (q *subscriptionQuery) check() (err error) {
	if err := q.selection.check(); err != nil {
		return err
	}
	if q.matches != "" {
		if q.matches, err = topic.ParseName(q.matches); err != nil {
			return usageError("--topic: " + err.Error())
		}
	}
	return nil
}

// takes reports whether the query is for the subscription, and leaves of its subscribers those
// that it is for.
func (q *subscriptionQuery) takes(s *observe.Subscription) bool {
	if q.action != "any" && s.Action != q.action ||
		!strings.Contains(strings.ToLower(s.Topic), strings.ToLower(q.filter)) {
		return false
	}
	if q.matches != "" {
		p, err := topic.ParsePattern(s.Topic)
		if err != nil || !p.Matches([]byte(q.matches)) {
			return false
		}
	}
	if q.service != "" {
		s.Subscribers = slices.DeleteFunc(s.Subscribers, func(one observe.Subscriber) bool {
			return !strings.EqualFold(one.ServiceID, q.service) &&
				!strings.EqualFold(one.Name, q.service)
		})
	}
	return len(s.Subscribers) > 0
}

func (a *app) listSubscriptions(ctx context.Context, q *subscriptionQuery) error {
	v, err := a.visit(ctx, client.WithoutReconnect())
	if err != nil {
		return err
	}
	defer v.close()
	all, err := v.Subscriptions(ctx)
	if err != nil {
		return err
	}
	connections, err := v.Services(ctx)
	if err != nil {
		return err
	}
	observe.Name(all, connections)
	taken := all[:0]
	for _, s := range all {
		if q.takes(&s) {
			taken = append(taken, s)
		}
	}
	all = taken
	observe.SortSubscriptions(all, q.sort)
	if len(all) == 0 && q.matches != "" {
		a.notice("nobody subscribes to %s: a message there is answered NO_ROUTE_FOUND", q.matches)
	}
	if q.each {
		return a.eachSubscriber(cutTo(&q.selection, single(all)))
	}
	all = cutTo(&q.selection, all)
	if a.json {
		return objects(a, all)
	}
	return a.table("TOPIC\tACTION\tSUBSCRIBERS\tWHO", func(w io.Writer) {
		for i := range all {
			s := &all[i]
			// A buffer takes everything.
			_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\n",
				terminal.Cell(s.Topic), terminal.Cell(s.Action),
				len(s.Subscribers), s.Who(whoShown))
		}
	})
}

// whoShown is how many subscribers the table names.
const whoShown = 3

// lone is one subscriber of a subscription.
type lone struct {
	Topic  string `json:"topic"`
	Action string `json:"action"`
	observe.Subscriber
}

func single(all []observe.Subscription) (each []lone) {
	for i := range all {
		for _, s := range all[i].Subscribers {
			each = append(each, lone{all[i].Topic, all[i].Action, s})
		}
	}
	return each
}

func (a *app) eachSubscriber(each []lone) error {
	if a.json {
		return objects(a, each)
	}
	return a.table("TOPIC\tACTION\tPRIORITY\tNAME\tID\tNODE", func(w io.Writer) {
		for i := range each {
			s := &each[i]
			priority := "-"
			if s.Priority != nil {
				priority = strconv.FormatFloat(*s.Priority, 'f', -1, 64)
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", // A buffer takes everything.
				terminal.Cell(s.Topic), terminal.Cell(s.Action), priority,
				terminal.Cell(s.Name), terminal.Cell(s.ServiceID),
				terminal.Cell(observe.Short(s.NodeID)))
		}
	})
}
