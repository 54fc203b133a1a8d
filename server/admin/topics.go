package admin

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"mbserver/codec"
	"mbserver/server/census"
	"mbserver/server/permit"
)

// branchRow is a level below a prefix, or a pattern.
type branchRow struct {
	Topic    string `json:"topic"`
	Patterns int    `json:"patterns"`
	Publish  int    `json:"publish"`
	Request  int    `json:"request"`

	PublishRate float64 `json:"publishRate"`
	RequestRate float64 `json:"requestRate"`
}

// topicsAnswer is a part of the tree of patterns.
type topicsAnswer struct {
	At       string      `json:"at"`
	Prefix   string      `json:"prefix"`
	Patterns int         `json:"patterns"`
	Limit    int         `json:"limit"`
	More     bool        `json:"more"`
	Next     string      `json:"next,omitempty"` // for after
	Topics   []branchRow `json:"topics"`

	RateSeconds   float64 `json:"rateSeconds"`
	ForgottenRate float64 `json:"forgottenRate"`
}

// serveTopics lists the patterns that somebody is subscribed to, a level at a time; or, with
// pattern, who is subscribed to one.
func (s *Server) serveTopics(w http.ResponseWriter, r *http.Request, v *viewer) {
	q := listingOf(r)
	q.searched()
	if q.query.Has("pattern") {
		s.serveSubscribers(w, r, q, v.holds(permit.ServiceList))
		return
	}
	if q.offset > 0 {
		q.wrong("offset", "is not for topics: after")
	}
	look := &census.Topics{
		Prefix: strings.Trim(strings.ToLower(q.text("prefix")), "."), Search: q.search,
		Flat:  q.oneOf("flat", "", "true", "false") == "true",
		After: strings.ToLower(q.text("after")), Limit: q.limit,
	}
	if q.refused(w) {
		return
	}
	var found *census.Branches
	var err error
	now := time.Now()
	ctx, cancel := context.WithTimeout(r.Context(), walkWait+walkTime)
	defer cancel()
	if !s.walks.do(w, r, func() { found, err = s.census.Topics(ctx, look, now) }) {
		return
	}
	if err != nil {
		answerBusy(w)
		return
	}
	answer := topicsAnswer{
		At: instant(now.UnixMilli()), Prefix: look.Prefix, Patterns: found.Patterns,
		Limit: q.limit, More: found.More, Topics: []branchRow{},
		RateSeconds: rounded(found.Seconds), ForgottenRate: rounded(found.Forgotten),
	}
	for _, b := range found.List {
		answer.Topics = append(answer.Topics, branchRow{
			Topic: b.Topic, Patterns: b.Patterns, Publish: b.Publish, Request: b.Request,
			PublishRate: rounded(b.PublishRate), RequestRate: rounded(b.RequestRate),
		})
		if found.More {
			answer.Next = b.Topic
		}
	}
	answerJSON(w, http.StatusOK, &answer)
}

// idText spells an ID; "" for none.
func idText(id codec.UUID) string {
	if id == (codec.UUID{}) {
		return ""
	}
	return id.String()
}

// subscriberRow is one of a pattern's subscribers.
type subscriberRow struct {
	ID       string   `json:"id,omitempty"` // empty: somebody of that node
	NodeID   string   `json:"nodeId,omitempty"`
	Name     string   `json:"name,omitempty"`
	Priority *float64 `json:"priority,omitempty"`
}

// serveSubscribers lists who is subscribed to a pattern; names says that they may be named.
func (s *Server) serveSubscribers(
	w http.ResponseWriter, r *http.Request, q *listing, names bool,
) {
	pattern := q.text("pattern")
	action := q.oneOf("action", "publish", "request")
	by := func(a, b *census.Subscriber) int {
		return cmp.Or(a.ID.Compare(b.ID), a.Node.Compare(b.Node))
	}
	first := top(q, []column[census.Subscriber]{
		{"id", true, by},
		number("priority", func(s *census.Subscriber) float64 { return s.Priority }),
	}, by)
	if q.refused(w) {
		return
	}
	var err error
	total, now := 0, time.Now()
	if !s.walks.do(w, r, func() {
		err = s.census.SubscribersOf(pattern, action, func(one *census.Subscriber) {
			total++
			if !names {
				one.Name = ""
			}
			if q.search == "" || strings.Contains(idText(one.ID), q.search) ||
				strings.Contains(idText(one.Node), q.search) ||
				strings.Contains(strings.ToLower(one.Name), q.search) {
				first.Add(one)
			}
		})
	}) {
		return
	}
	if err != nil {
		answerError(w, http.StatusBadRequest, invalid, "pattern: "+err.Error())
		return
	}
	rows := []subscriberRow{}
	matched := first.Seen()
	for _, one := range first.Sorted(q.offset) {
		row := subscriberRow{ID: idText(one.ID), NodeID: idText(one.Node), Name: one.Name}
		if action == "request" {
			row.Priority = &one.Priority
		}
		rows = append(rows, row)
	}
	answerList(w, listed{instant(now.UnixMilli()), total, matched, q.offset, q.limit},
		"subscribers", rows)
}
