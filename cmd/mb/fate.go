package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mbserver/cmd/mb/human"
	"mbserver/cmd/mb/terminal"
	"mbserver/codec"
	"mbserver/topic"
)

// explainTopic is what answers mb explain.
const explainTopic = "system.explain"

// armMost is for how long a node lets somebody arm.
const armMost = 10 * time.Minute

// fateQuery is one run of mb explain.
type fateQuery struct {
	app      *app
	topic    string
	action   string
	identity string
	bytes    int
	arm      string // a pattern
	service  string // an ID
	span     time.Duration
}

// explanation is the answer of a node.
type explanation struct {
	Found bool       `json:"found"`
	Stops []fateStop `json:"stops"`
}

// fateStop is one thing that became of a message (protocol §11).
type fateStop struct {
	At        time.Time `json:"at"`
	Stop      string    `json:"stop"`
	Reason    string    `json:"reason,omitempty"`
	ServiceID string    `json:"serviceId,omitempty"`
	Pattern   string    `json:"pattern,omitempty"`
	NodeID    string    `json:"nodeId,omitempty"`
}

func (a *app) explain() *cobra.Command {
	q := &fateQuery{app: a}
	cmd := &cobra.Command{
		Use:   "explain [ID]",
		Short: "Tell why a message arrived, or did not",
		Long: "Tell what became of the message with ID: its sender's request ID, or the one that " +
			"its receivers saw. A node knows messages\n" +
			"of the last minute that somebody had armed for before they came: --arm for topics, " +
			"--arm-service for all that one\n" +
			"connection sends. Arming ends after --for, or with --for 0.\n\n" +
			"With --topic instead of ID: what would become of a message now, who would get it, " +
			"and who not and why. Nothing is sent.\n\n" +
			"The exit code is 1 when nothing is known of the message, or not to you.",
		Example: "  mb explain --topic flights.sfo.lax.late --bytes 200\n" +
			"  mb explain --arm 'flights.#' --for 2m\n" +
			"  mb explain 6a1b2c3d-0000-4000-8000-000000000001",
		Args: cobra.MaximumNArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&q.topic, "topic", "", "what would become of a message on `TOPIC`")
	choice(cmd, &q.action, "action", "of a message with this `ACTION`", "publish", "request")
	f.StringVar(&q.identity, "identity", "", "as if `WHO` sent it; needs the word admin")
	f.IntVar(&q.bytes, "bytes", 0, "with a payload of `N` bytes")
	f.StringVar(&q.arm, "arm", "", "have messages looked at whose topics match `PATTERN`")
	f.StringVar(&q.service, "arm-service", "", "have messages of the service with `ID` looked at")
	f.DurationVar(&q.span, "for", time.Minute, "look for this `TIME`, 10m at most")
	cmd.RunE = work(func(ctx context.Context, args []string) error {
		payload, err := q.payload(args, f)
		if err != nil {
			return err
		}
		return q.run(ctx, payload)
	})
	return cmd
}

// payload is the request that the command line asks for.
func (q *fateQuery) payload(args []string, f *pflag.FlagSet) (map[string]any, error) {
	kinds := 0
	for _, given := range []bool{len(args) > 0, q.topic != "", q.arm != "", q.service != ""} {
		if given {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return nil, usageError("say what: the ID of a message, --topic, --arm or --arm-service")
	case kinds > 1:
		return nil, usageError("one of these at a time: ID, --topic, --arm, --arm-service")
	}
	for _, name := range []string{"action", "identity", "bytes"} {
		if f.Changed(name) && q.topic == "" {
			return nil, usageError("--" + name + " goes with --topic")
		}
	}
	arms := q.arm != "" || q.service != ""
	switch {
	case f.Changed("for") && !arms:
		return nil, usageError("--for goes with --arm or --arm-service")
	case q.span < 0 || q.span > armMost:
		return nil, usageError("--for must be a time up to 10m")
	case q.bytes < 0:
		return nil, usageError("--bytes must not be negative")
	case arms:
		return q.arming()
	case q.topic != "":
		return q.trial(f)
	}
	if _, ok := codec.ParseUUID([]byte(args[0])); !ok {
		return nil, usageError(fmt.Sprintf("%q is no ID: 8-4-4-4-12 hexadecimal digits", args[0]))
	}
	return map[string]any{"requestId": args[0]}, nil
}

// arming is the request that has messages looked at.
func (q *fateQuery) arming() (map[string]any, error) {
	payload := map[string]any{"armMs": q.span.Milliseconds()}
	if q.service != "" {
		if _, ok := codec.ParseUUID([]byte(q.service)); !ok {
			return nil, usageError(fmt.Sprintf("--arm-service %q: is no ID", q.service))
		}
		payload["serviceId"] = q.service
		return payload, nil
	}
	p, err := topic.ParsePattern(q.arm)
	if err != nil {
		return nil, usageError("--arm: " + err.Error())
	}
	payload["topic"] = p.String()
	return payload, nil
}

// trial is the request that asks what would become of a message.
func (q *fateQuery) trial(f *pflag.FlagSet) (map[string]any, error) {
	name, err := topic.ParseName(q.topic)
	if err != nil {
		return nil, usageError("--topic: " + err.Error())
	}
	payload := map[string]any{"topic": name, "action": q.action, "payloadBytes": q.bytes}
	if f.Changed("identity") {
		payload["identity"] = q.identity
	}
	return payload, nil
}

func (q *fateQuery) run(ctx context.Context, payload map[string]any) error {
	a := q.app
	var raw json.RawMessage
	if err := a.system(ctx, explainTopic, payload, &raw); err != nil {
		return err
	}
	if _, arms := payload["armMs"]; arms {
		q.tellArmed()
		return nil
	}
	var e explanation
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("answer of the broker to %s: %w", explainTopic, err)
	}
	var err error
	if a.json {
		err = objects(a, []explanation{e})
	} else if e.Found {
		_, err = a.stdout.Write(e.draw())
	}
	switch {
	case err != nil:
		return err
	case !e.Found && a.json:
		return errSaid
	case !e.Found:
		return fmt.Errorf("nothing is known of this message: nobody had armed for it (mb explain " +
			"--arm), it is older than a minute, or it is not for you to see")
	}
	return nil
}

// tellArmed says what is looked at from now on.
func (q *fateQuery) tellArmed() {
	what := "topics that match " + q.arm
	if q.service != "" {
		what = "what " + q.service + " sends"
	}
	if q.span < time.Millisecond {
		q.app.notice("no longer looking at %s", what)
		return
	}
	q.app.notice("looking at %s for %s; what became of a message: mb explain ID", what,
		human.Span(q.span))
}

// branch is what became of a message at one service, or in one place without.
type branch struct {
	title string
	stops []fateStop
}

// branches are the ways that the message took, in the order in which they began. What it came from
// is not among them.
func (e *explanation) branches() (all []*branch) {
	of := map[string]*branch{}
	for _, s := range e.Stops {
		if s.Stop == "accepted" {
			continue
		}
		b := of[s.ServiceID]
		if b == nil || s.ServiceID == "" {
			b = &branch{title: s.ServiceID}
			of[s.ServiceID] = b
			all = append(all, b)
		}
		if s.Pattern != "" && !strings.Contains(b.title, " by ") {
			b.title += " by " + s.Pattern
		}
		b.stops = append(b.stops, s)
	}
	return all
}

// draw is the path of a message: a line for where it came in, and below it one for each way.
func (e *explanation) draw() []byte {
	var out bytes.Buffer
	var start time.Time
	from := ""
	for _, s := range e.Stops {
		if start.IsZero() {
			start = s.At
		}
		if s.Stop == "accepted" && s.ServiceID != "" {
			from = " from " + s.ServiceID
		}
	}
	// A buffer takes everything.
	_, _ = fmt.Fprintf(&out, "accepted%s  %s\n", terminal.Line(from),
		start.Local().Format("15:04:05.000"))
	all := e.branches()
	for i, b := range all {
		fork, beside := "├─ ", "│  "
		if i == len(all)-1 {
			fork, beside = "└─ ", "   "
		}
		steps := make([]string, len(b.stops))
		for k, s := range b.stops {
			steps[k] = s.say(start)
		}
		path := strings.Join(steps, " → ")
		if b.title == "" {
			out.WriteString(fork + path + "\n")
			continue
		}
		out.WriteString(fork + terminal.Line(b.title) + "\n" + beside + "  " + path + "\n")
	}
	return out.Bytes()
}

// say is a stop in a line of them.
func (s *fateStop) say(start time.Time) string {
	text := s.Stop
	if s.Reason != "" {
		text += " (" + s.Reason + ")"
	}
	if later := s.At.Sub(start); later >= time.Millisecond {
		text += " +" + human.Latency(later)
	}
	return terminal.Line(text)
}
