package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Connection is one row of system.service.list: on the wire every connection is a service. What a
// node does not tell, or tells only to some, is nil or empty.
type Connection struct {
	ID            string
	Name          string
	Description   string
	ConnectedAt   string // ISO 8601
	LastHeartbeat string
	Transport     string
	NodeID        string
	Remote        string // address:port
	Identity      string
	Outstanding   int64 // requests that it has not answered yet
	Queued        int64 // requests that wait until it has room

	BacklogBytes    *int64 // what waits to be written to it
	BacklogMessages *int64
	Dropped         *int64 // deliveries that it lost because it was too slow

	Raw json.RawMessage `json:"-"` // the row as the node wrote it
}

// Connections asks for every connection of the node that answers.
func (n *Node) Connections(ctx context.Context) ([]Connection, error) {
	return n.services(ctx, map[string]string{"scope": "node"})
}

// Services asks for every connection, and for the services of other nodes that take requests: of
// those a node does not tell everything.
func (n *Node) Services(ctx context.Context) ([]Connection, error) { return n.services(ctx, nil) }

func (n *Node) services(ctx context.Context, payload any) ([]Connection, error) {
	var answer struct{ Services []json.RawMessage }
	if err := n.Ask(ctx, "system.service.list", payload, &answer); err != nil {
		return nil, err
	}
	all := make([]Connection, len(answer.Services))
	for i, raw := range answer.Services {
		if err := json.Unmarshal(raw, &all[i]); err != nil {
			return nil, fmt.Errorf("answer of the broker to system.service.list: %w", err)
		}
		all[i].Raw = raw
	}
	return all, nil
}

// Clock is the node's time when it composed the list, as near as the list tells: the newest sign of
// life, which is that of who asked for it. The clock of this machine may go differently.
func Clock(all []Connection) time.Time {
	var newest time.Time
	for i := range all {
		if seen := parseTime(all[i].LastHeartbeat); seen.After(newest) {
			newest = seen
		}
	}
	return newest
}

// Age is how long the connection has stood at the time now of the node; Idle is how long it has
// said nothing.
func (c *Connection) Age(now time.Time) time.Duration { return now.Sub(parseTime(c.ConnectedAt)) }

// Idle is described at Age.
func (c *Connection) Idle(now time.Time) time.Duration {
	return now.Sub(parseTime(c.LastHeartbeat))
}

// parseTime is forgiving: a time that cannot be read is the zero time.
func parseTime(text string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text)
	return t
}

// Has reports whether text is in what is known of the connection, in any case.
func (c *Connection) Has(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc([]string{
		c.ID, c.Name, c.Description, c.Transport, c.Remote, c.Identity, c.NodeID,
	}, func(s string) bool { return strings.Contains(strings.ToLower(s), text) })
}

// Is reports whether the connection is called so: by its ID or, in any case, its name.
func (c *Connection) Is(called string) bool {
	return strings.EqualFold(c.ID, called) || strings.EqualFold(c.Name, called)
}

// Told is the number behind p; 0 when it was not told.
func Told(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}

// orders are the ways in which connections are sorted, those with the most first.
var orders = map[string]func(a, b *Connection) int{
	"name":      compareNames,
	"transport": func(a, b *Connection) int { return strings.Compare(a.Transport, b.Transport) },
	"age": func(a, b *Connection) int {
		return strings.Compare(a.ConnectedAt, b.ConnectedAt)
	},
	"idle": func(a, b *Connection) int {
		return strings.Compare(a.LastHeartbeat, b.LastHeartbeat)
	},
	"outstanding": func(a, b *Connection) int { return most(a.Outstanding, b.Outstanding) },
	"queued":      func(a, b *Connection) int { return most(a.Queued, b.Queued) },
	"backlog": func(a, b *Connection) int {
		if d := most(Told(a.BacklogBytes), Told(b.BacklogBytes)); d != 0 {
			return d
		}
		return most(Told(a.BacklogMessages), Told(b.BacklogMessages))
	},
	"dropped": func(a, b *Connection) int { return most(Told(a.Dropped), Told(b.Dropped)) },
}

// Orders are the names of what Sort sorts by.
func Orders() []string {
	return []string{
		"load", "backlog", "queued", "outstanding", "dropped", "age", "idle", "name", "transport",
	}
}

// Sort sorts connections by one of Orders; those that are the same in it by name, then ID. "load"
// is who holds others up most: by backlog, then waiting, then unanswered requests.
func Sort(all []Connection, by string) {
	keys := []string{by}
	if by == "load" {
		keys = []string{"backlog", "queued", "outstanding"}
	}
	slices.SortStableFunc(all, func(a, b Connection) int {
		for _, key := range keys {
			if d := orders[key](&a, &b); d != 0 {
				return d
			}
		}
		if d := compareNames(&a, &b); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// compareNames has those without a name last.
func compareNames(a, b *Connection) int {
	switch {
	case a.Name == "" && b.Name != "":
		return 1
	case a.Name != "" && b.Name == "":
		return -1
	}
	return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
}

func most(a, b int64) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}
