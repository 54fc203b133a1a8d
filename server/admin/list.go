package admin

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mbserver/server/census"
)

// Bounds of a list.
const (
	limitDefault = 100
	limitMax     = 1000
	reachMax     = 10_000 // offset and limit together: who wants what is behind searches
	searchBytes  = 256
)

// listing is which part of a list is asked for.
type listing struct {
	query         url.Values
	asked         map[string]bool // parameters that are known
	fault         string          // what is wrong; "": nothing
	offset, limit int
	search        string // in lower case; see searched
}

// listingOf reads what lists have in common.
func listingOf(r *http.Request) *listing {
	q := &listing{asked: map[string]bool{"access_token": true}}
	var err error
	if q.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		q.fault = "the parameters cannot be read: " + err.Error()
	}
	q.limit = q.number("limit", limitDefault, 1, limitMax)
	q.offset = q.number("offset", 0, 0, reachMax-1)
	if q.offset+q.limit > reachMax {
		q.wrong("offset", "with limit it is at most "+strconv.Itoa(reachMax)+": search instead")
	}
	return q
}

// searched reads what is searched for.
func (q *listing) searched() {
	if q.search = strings.ToLower(q.text("search")); len(q.search) > searchBytes {
		q.wrong("search", "is at most "+strconv.Itoa(searchBytes)+" bytes")
	}
}

// text is a parameter, "" when it is not given.
func (q *listing) text(name string) string {
	q.asked[name] = true
	if len(q.query[name]) > 1 {
		q.wrong(name, "is given twice")
	}
	return q.query.Get(name)
}

func (q *listing) number(name string, byDefault, least, most int) int {
	text := q.text(name)
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		q.wrong(name, "is a whole number of "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
		return byDefault
	}
	return n
}

// oneOf is a parameter that is one of some words, the first when it is not given.
func (q *listing) oneOf(name string, words ...string) string {
	text := q.text(name)
	if !slices.Contains(words, text) {
		if text != "" {
			q.wrong(name, "is one of "+strings.TrimPrefix(strings.Join(words, ", "), ", "))
		}
		return words[0]
	}
	return text
}

func (q *listing) wrong(name, why string) {
	if q.fault == "" {
		q.fault = name + " " + why
	}
}

// refused answers what cannot be listed. Every parameter has been asked for by now.
func (q *listing) refused(w http.ResponseWriter) bool {
	for name := range q.query {
		if !q.asked[name] {
			q.wrong(strconv.Quote(name), "is no parameter of this list")
		}
	}
	if q.fault == "" {
		return false
	}
	answerError(w, http.StatusBadRequest, invalid, q.fault)
	return true
}

// column is what a list can be sorted by.
type column[T any] struct {
	name string
	text bool // sorted from A to Z unless said otherwise; numbers from the largest down
	cmp  func(a, b *T) int
}

// number is a column of a number.
func number[T any, N cmp.Ordered](name string, of func(*T) N) column[T] {
	return column[T]{name: name, cmp: func(a, b *T) int { return cmp.Compare(of(a), of(b)) }}
}

// text is a column of a text.
func text[T any](name string, of func(*T) string) column[T] {
	return column[T]{name, true, func(a, b *T) int { return strings.Compare(of(a), of(b)) }}
}

// top makes what keeps the part of the list that q asks for: sorted by the column that it names, by
// the first without a name, and by tie among equals.
func top[T any](q *listing, columns []column[T], tie func(a, b *T) int) *census.Top[T] {
	names := []string{""}
	for _, c := range columns {
		names = append(names, c.name)
	}
	by := columns[max(slices.Index(names, q.oneOf("sort", names...))-1, 0)]
	order := q.oneOf("order", "", "asc", "desc")
	sign := 1
	if order == "desc" || order == "" && !by.text {
		sign = -1
	}
	return census.NewTop(q.offset+q.limit, func(a, b *T) int {
		if d := by.cmp(a, b); d != 0 {
			return sign * d
		}
		return tie(a, b)
	})
}

// listed is what an answer says of the part of a list that it has.
type listed struct {
	At      string `json:"at"`
	Total   int    `json:"total"`   // there are
	Matched int    `json:"matched"` // of these, that were asked for
	Offset  int    `json:"offset"`
	Limit   int    `json:"limit"`
}

// instant is a time of the wall clock as the contract writes it; ms 0 is none.
func instant(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
