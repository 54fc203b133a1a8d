package observe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mbserver/cmd/mb/terminal"
)

// Subscription is one pattern and action, and who is subscribed to it.
type Subscription struct {
	Topic       string       `json:"topic"`
	Action      string       `json:"action"` // publish or request
	Subscribers []Subscriber `json:"subscribers"`
}

// Subscriber is one of a subscription's; without an ID somebody of a node that does not tell who.
type Subscriber struct {
	ServiceID string   `json:"serviceId,omitempty"`
	NodeID    string   `json:"nodeId,omitempty"`   // in a cluster
	Name      string   `json:"name,omitempty"`     // known once Name has been called
	Priority  *float64 `json:"priority,omitempty"` // of requests
}

// Subscriptions asks for every pattern that somebody subscribes to, sorted by topic, then action.
func (n *Node) Subscriptions(ctx context.Context) ([]Subscription, error) {
	var answer struct{ Subscriptions []Subscription }
	err := n.Ask(ctx, "system.topic.subscriptions", nil, &answer)
	return answer.Subscriptions, err
}

// Name gives the subscribers the names of their connections.
func Name(all []Subscription, connections []Connection) {
	names := make(map[string]string, len(connections))
	for i := range connections {
		names[connections[i].ID] = connections[i].Name
	}
	for i := range all {
		for j := range all[i].Subscribers {
			s := &all[i].Subscribers[j]
			if s.ServiceID != "" {
				s.Name = names[s.ServiceID]
			}
		}
	}
}

// SortSubscriptions sorts by "topic", or by "subscribers" with the most first.
func SortSubscriptions(all []Subscription, by string) {
	slices.SortStableFunc(all, func(a, b Subscription) int {
		if by == "subscribers" {
			if d := len(b.Subscribers) - len(a.Subscribers); d != 0 {
				return d
			}
		}
		if d := strings.Compare(a.Topic, b.Topic); d != 0 {
			return d
		}
		return strings.Compare(a.Action, b.Action)
	})
}

// Who names the first most subscribers: by name, or by the beginning of the ID, or by that of the
// node at which somebody is.
func (s *Subscription) Who(most int) string {
	var names []string
	for _, one := range s.Subscribers[:min(most, len(s.Subscribers))] {
		name := one.Name
		switch {
		case name != "":
		case one.ServiceID != "":
			name = Short(one.ServiceID)
		default:
			name = "at node " + Short(one.NodeID)
		}
		names = append(names, terminal.Cell(name))
	}
	text := strings.Join(names, ", ")
	if more := len(s.Subscribers) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Short is the beginning of an ID, which tells it from others.
func Short(id string) string { return id[:min(8, len(id))] }
