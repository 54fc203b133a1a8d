package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"mbserver/server/census"
	"mbserver/server/permit"
)

// connectionRow is a connection of a list.
type connectionRow struct {
	ID            string          `json:"id"`
	Name          string          `json:"name,omitempty"`
	Description   string          `json:"description,omitempty"`
	Metadata      json.RawMessage `json:"metadata,omitempty"`
	Transport     string          `json:"transport"`
	Loop          int             `json:"loop"`
	ConnectedAt   string          `json:"connectedAt"`
	LastSeen      string          `json:"lastSeen"`
	Serves        bool            `json:"serves"`
	Outstanding   int             `json:"outstanding"`
	MaxConcurrent int             `json:"maxConcurrent"`
	Queued        int             `json:"queued"`
	ErrorRate     int             `json:"errorRate"`

	*connectionPrivate
}

// connectionPrivate is what only who holds the word connection is shown.
type connectionPrivate struct {
	Identity          string   `json:"identity,omitempty"`
	Remote            string   `json:"remote"`
	States            []string `json:"states"`
	Received          uint64   `json:"received"`
	ReceivedBytes     uint64   `json:"receivedBytes"`
	ReceivedRate      float64  `json:"receivedRate"`
	ReceivedBytesRate float64  `json:"receivedBytesRate"`
	Sent              uint64   `json:"sent"`
	SentBytes         uint64   `json:"sentBytes"`
	SentRate          float64  `json:"sentRate"`
	SentBytesRate     float64  `json:"sentBytesRate"`
	Dropped           uint64   `json:"dropped"`
	BacklogBytes      int64    `json:"backlogBytes"`
	BacklogMessages   int64    `json:"backlogMessages"`
	Answers           uint64   `json:"answers"`
	AnswerP50Ms       float64  `json:"answerP50Ms"`
	AnswerP99Ms       float64  `json:"answerP99Ms"`
}

// States of a connection.
const (
	stateSlow     = "slow"
	stateUnread   = "unread"
	stateDraining = "draining"
)

func statesOf(c *census.Connection) []string {
	states := []string{}
	for _, s := range []struct {
		is   bool
		word string
	}{{c.Slow, stateSlow}, {c.Unread, stateUnread}, {c.Draining, stateDraining}} {
		if s.is {
			states = append(states, s.word)
		}
	}
	return states
}

// rowOf shows c; full says with what not everybody may see.
func rowOf(c *census.Connection, full bool) connectionRow {
	row := connectionRow{
		ID: c.ID.String(), Name: c.Name, Description: c.Description, Metadata: c.Metadata,
		Transport: c.Transport, Loop: c.Loop,
		ConnectedAt: instant(c.ConnectedAt), LastSeen: instant(c.LastSeen), Serves: c.Serves,
		Outstanding: c.Outstanding, MaxConcurrent: c.MaxConcurrent, Queued: c.Queued,
		ErrorRate: c.ErrorRate,
	}
	if full {
		row.connectionPrivate = &connectionPrivate{
			Identity: c.Identity, Remote: c.Remote.String(), States: statesOf(c),
			Received: c.Received, ReceivedBytes: c.ReceivedBytes,
			ReceivedRate: rounded(c.ReceivedRate), ReceivedBytesRate: rounded(c.ReceivedBytesRate),
			Sent: c.Sent, SentBytes: c.SentBytes,
			SentRate: rounded(c.SentRate), SentBytesRate: rounded(c.SentBytesRate),
			Dropped: c.Dropped, BacklogBytes: c.BacklogBytes, BacklogMessages: c.BacklogMessages,
			Answers: c.Answers, AnswerP50Ms: inMs(c.AnswerP50), AnswerP99Ms: inMs(c.AnswerP99),
		}
	}
	return row
}

func inMs(d time.Duration) float64 { return rounded(d.Seconds() * 1e3) }

// rounded leaves a thousandth of a rate.
func rounded(rate float64) float64 { return math.Round(1e3*rate) / 1e3 }

// Columns by which connections are sorted; by the first when none is named. Those of private may be
// told from the order, so they need the word connection too.
type connection = census.Connection

var (
	openColumns = []column[connection]{
		number("age", func(c *connection) int64 { return -c.ConnectedAt }),
		number("idle", func(c *connection) int64 { return -c.LastSeen }),
		text("name", func(c *connection) string { return c.Name }),
		text("transport", func(c *connection) string { return c.Transport }),
		{"id", true, byID},
		number("outstanding", func(c *connection) int { return c.Outstanding }),
		number("queued", func(c *connection) int { return c.Queued }),
		number("errorRate", func(c *connection) int { return c.ErrorRate }),
	}
	privateColumns = []column[connection]{
		text("identity", func(c *connection) string { return c.Identity }),
		{"remote", true, func(a, b *connection) int { return a.Remote.Compare(b.Remote) }},
		number("received", func(c *connection) uint64 { return c.Received }),
		number("receivedBytes", func(c *connection) uint64 { return c.ReceivedBytes }),
		number("receivedRate", func(c *connection) float64 { return c.ReceivedRate }),
		number("receivedBytesRate", func(c *connection) float64 { return c.ReceivedBytesRate }),
		number("sent", func(c *connection) uint64 { return c.Sent }),
		number("sentBytes", func(c *connection) uint64 { return c.SentBytes }),
		number("sentRate", func(c *connection) float64 { return c.SentRate }),
		number("sentBytesRate", func(c *connection) float64 { return c.SentBytesRate }),
		number("dropped", func(c *connection) uint64 { return c.Dropped }),
		number("backlogBytes", func(c *connection) int64 { return c.BacklogBytes }),
		number("backlogMessages", func(c *connection) int64 { return c.BacklogMessages }),
		number("answers", func(c *connection) uint64 { return c.Answers }),
		number("answerP50Ms", func(c *connection) time.Duration { return c.AnswerP50 }),
		number("answerP99Ms", func(c *connection) time.Duration { return c.AnswerP99 }),
	}
	allColumns = append(openColumns[:len(openColumns):len(openColumns)], privateColumns...)
)

func byID(a, b *connection) int { return a.ID.Compare(b.ID) }

// finder says whether a connection has a text somewhere.
type finder struct {
	search string // in lower case
	full   bool   // in what not everybody may see, too
	buf    []byte
}

func (f *finder) has(c *connection) bool {
	if f.search == "" || strings.Contains(strings.ToLower(c.Name), f.search) {
		return true
	}
	f.buf = c.ID.Append(f.buf[:0])
	if f.full {
		f.buf = c.Remote.AppendTo(append(f.buf, ' '))
	}
	return bytes.Contains(f.buf, []byte(f.search)) ||
		f.full && strings.Contains(strings.ToLower(c.Identity), f.search)
}

// serveConnections lists connections.
func (s *Server) serveConnections(w http.ResponseWriter, r *http.Request, _ *viewer) {
	q := listingOf(r)
	q.searched()
	first := top(q, allColumns, byID)
	state := q.oneOf("state", "", stateSlow, stateUnread, stateDraining)
	s.list(w, r, q, first, "connections", true, func(c *connection) bool {
		switch state {
		case stateSlow:
			return c.Slow
		case stateUnread:
			return c.Unread
		case stateDraining:
			return c.Draining
		}
		return true
	})
}

// serveServices lists connections that have registered, or serve requests.
func (s *Server) serveServices(w http.ResponseWriter, r *http.Request, v *viewer) {
	q := listingOf(r)
	q.searched()
	full, columns := v.holds(permit.Connection), openColumns
	if full {
		columns = allColumns
	}
	first := top(q, columns, byID)
	name := q.text("name")
	s.list(w, r, q, first, "services", full, func(c *connection) bool {
		return (c.Serves || c.Registered) && (name == "" || c.Name == name)
	})
}

// list answers with those of the connections that q asks for and want lets pass.
func (s *Server) list(
	w http.ResponseWriter, r *http.Request, q *listing, first *census.Top[connection],
	name string, full bool, want func(*connection) bool,
) {
	if q.refused(w) {
		return
	}
	find, now, total := finder{search: q.search, full: full}, time.Now(), 0
	if !s.walks.do(w, r, func() {
		s.census.Connections(now, func(c *connection) {
			total++
			if want(c) && find.has(c) {
				first.Add(c)
			}
		})
	}) {
		return
	}
	rows := []connectionRow{}
	matched := first.Seen()
	for _, c := range first.Sorted(q.offset) {
		rows = append(rows, rowOf(&c, full))
	}
	answerList(w, listed{instant(now.UnixMilli()), total, matched, q.offset, q.limit}, name, rows)
}

// answerList answers with rows under a name.
func answerList(w http.ResponseWriter, about listed, name string, rows any) {
	head, err := json.Marshal(about)
	if err != nil {
		panic("admin: " + err.Error()) // texts and numbers
	}
	body, err := json.Marshal(rows)
	if err != nil {
		panic("admin: " + err.Error())
	}
	all := append(head[:len(head)-1], `,"`+name+`":`...)
	answerBytes(w, append(append(all, body...), "}\n"...))
}

// serveConnection answers with one connection.
func (s *Server) serveConnection(w http.ResponseWriter, r *http.Request, v *viewer) {
	q := listingOf(r)
	if q.refused(w) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), walkWait)
	defer cancel()
	now := time.Now()
	d, err := s.census.Connection(ctx, r.PathValue("id"), q.offset+q.limit, now)
	switch {
	case errors.Is(err, census.ErrUnknown):
		answerError(w, http.StatusNotFound, notFound, "no such connection")
	case err != nil:
		answerBusy(w)
	default:
		answerJSON(w, http.StatusOK, detailOf(d, q, v, now))
	}
}
