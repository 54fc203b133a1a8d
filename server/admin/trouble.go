package admin

import (
	"net/http"
	"strconv"
	"time"

	"mbserver/server/permit"
	"mbserver/server/trouble"
)

// Troubled is a node that knows what is wrong with it. Any goroutine.
type Troubled interface {
	// Troubles returns what is wrong now. It is not to be changed.
	Troubles() trouble.Report
}

// troubleDocs is where operators read on.
const troubleDocs = "docs/operations.md#"

// troublesShown is how many of a kind are shown to who asks for no other number.
const troublesShown = 20

// shownTrouble is one of /troublez.
type shownTrouble struct {
	Kind     string `json:"kind"`
	Severity string `json:"severity"`
	Cause    string `json:"cause,omitempty"`
	Since    string `json:"since"`   // ISO 8601
	Seconds  int64  `json:"seconds"` // that is ago
	Seen     string `json:"seen"`    // the last sign of it
	Why      string `json:"why"`
	Do       string `json:"do"`
	See      string `json:"see"`
	Topic    string `json:"topic,omitempty"` // for who may see topics
	shownSubject
}

// shownSubject is whom it concerns: for who may see connections.
type shownSubject struct {
	ID       string `json:"id,omitempty"`
	Name     string `json:"name,omitempty"`
	Identity string `json:"identity,omitempty"`
	Remote   string `json:"remote,omitempty"`
}

// moreTroubles is how many of a kind there are beside those that are shown.
type moreTroubles struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

type shownTroubles struct {
	At       string         `json:"at"`
	Troubles []shownTrouble `json:"troubles"` // the worst first, of these the oldest
	More     []moreTroubles `json:"more"`
}

// serveTroubles says what is wrong with the node now.
func (s *Server) serveTroubles(w http.ResponseWriter, r *http.Request, v *viewer) {
	query := r.URL.Query()
	limit := troublesShown
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > trouble.Most {
			answerError(w, http.StatusBadRequest, invalid,
				"limit is how many of a kind are shown", "field", "limit", "most", trouble.Most)
			return
		}
		limit = n
	}
	only := trouble.Kinds
	if name := query.Get("kind"); name != "" {
		kind, ok := trouble.KindOf(name)
		if !ok {
			answerError(w, http.StatusBadRequest, invalid, "there is no such kind of trouble",
				"field", "kind")
			return
		}
		only = kind
	}
	report := s.node.Troubles()
	shown := shownTroubles{
		At: isoTime(report.At), Troubles: []shownTrouble{}, More: []moreTroubles{},
	}
	var count [trouble.Kinds]int
	for i := range report.Troubles {
		t := &report.Troubles[i]
		if only != trouble.Kinds && only != t.Kind || count[t.Kind] == limit {
			continue
		}
		count[t.Kind]++
		shown.Troubles = append(shown.Troubles, showTrouble(t, report.At, v))
	}
	for kind := range trouble.Kinds {
		left := report.Counts[kind] - count[kind]
		if left > 0 && (only == trouble.Kinds || only == kind) {
			shown.More = append(shown.More, moreTroubles{kind.String(), left})
		}
	}
	answerJSON(w, http.StatusOK, &shown)
}

// showTrouble is what v is shown of a trouble.
func showTrouble(t *trouble.Trouble, now int64, v *viewer) shownTrouble {
	shown := shownTrouble{
		Kind: t.Kind.String(), Severity: t.Severity.String(), Cause: t.Cause,
		Since: isoTime(t.Since), Seconds: max(now-t.Since, 0) / 1000, Seen: isoTime(t.Seen),
		Why: t.Why, Do: t.Kind.Advice(), See: troubleDocs + t.Kind.Anchor(),
	}
	if v.holds(permit.Connection) {
		shown.shownSubject = shownSubject{t.ID, t.Name, t.Identity, t.Remote}
	}
	if v.holds(permit.TopicList) {
		shown.Topic = t.Topic
	}
	return shown
}

// isoTime is a time in Unix ms as the protocol writes it.
func isoTime(unixMs int64) string {
	return time.UnixMilli(unixMs).UTC().Format("2006-01-02T15:04:05.000Z")
}
