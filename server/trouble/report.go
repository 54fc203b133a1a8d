package trouble

import (
	"cmp"
	"slices"
)

// Trouble is one thing that is wrong.
type Trouble struct {
	Kind     Kind
	Severity Severity
	Cause    string // where the kind has several: a scope, a reason; else ""
	Since    int64  // Unix ms
	Seen     int64  // Unix ms: the last sign of it
	Why      string // in plain words, with numbers, without a name
	Subject         // whom it concerns
}

// Subject is whom a trouble concerns; the zero value is the node. Who may not see connections is
// told of none, who may not see topics of no topic.
type Subject struct {
	ID       string // of a connection
	Name     string // that it has registered under
	Remote   string // its address
	Identity string // who it is
	Topic    string // on which it is
}

// Most is how many troubles of a kind a report has.
const Most = 100

// Report is what is wrong with a node at one moment.
type Report struct {
	At       int64     // Unix ms
	Troubles []Trouble // the worst first, of these the oldest
	Counts   [Kinds]int
}

// Add adds one; there may be more of its kind than are added (Counts).
func (r *Report) Add(t Trouble) {
	r.Counts[t.Kind]++
	r.Troubles = append(r.Troubles, t)
}

// Sort brings them into order.
func (r *Report) Sort() {
	slices.SortStableFunc(r.Troubles, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Since, b.Since),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Cause, b.Cause),
			cmp.Compare(a.Topic, b.Topic))
	})
}
