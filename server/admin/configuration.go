package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"mbserver/server/census"
	"mbserver/server/permit"
)

// settingRow is one key of the configuration.
type settingRow struct {
	Key     string          `json:"key"`
	Value   json.RawMessage `json:"value"` // null: it is not shown
	Default json.RawMessage `json:"default"`
	Unit    string          `json:"unit,omitempty"`
	Source  string          `json:"source"`
	Env     string          `json:"env,omitempty"`
	Flag    string          `json:"flag,omitempty"`
	Live    bool            `json:"live"`
	File    json.RawMessage `json:"file,omitempty"` // that something else wins over
	Line    string          `json:"line,omitempty"` // of the file
	Pending json.RawMessage `json:"pending,omitempty"`
	Meaning string          `json:"meaning"`
}

// configurationAnswer is what /configz says.
type configurationAnswer struct {
	listed
	ReadAt   string       `json:"readAt,omitempty"`
	Fault    string       `json:"fault,omitempty"`
	Changes  []changeRow  `json:"changes"`
	Settings []settingRow `json:"settings"`
}

// changeRow is what a reading of the configuration has found changed.
type changeRow struct {
	At   string          `json:"at"`
	Key  string          `json:"key"`
	From json.RawMessage `json:"from"` // null: it is not shown
	To   json.RawMessage `json:"to"`
	Live bool            `json:"live"`
}

// changesOf shows changes, the latest first; admin says that what others may do is shown, too.
func changesOf(changes []census.Change, admin bool) []changeRow {
	rows := make([]changeRow, 0, len(changes))
	for _, c := range slices.Backward(changes) {
		row := changeRow{At: instant(c.At), Key: c.Key, Live: c.Live}
		if !c.Roles || admin {
			row.From, row.To = valueOf(&c.From), valueOf(&c.To)
		}
		rows = append(rows, row)
	}
	return rows
}

// serveConfiguration shows the keys, by their names.
func (s *Server) serveConfiguration(w http.ResponseWriter, r *http.Request, v *viewer) {
	q := listingOf(r)
	q.searched()
	source := q.oneOf("source", "", census.SourceDefault, census.SourceFile,
		census.SourceEnvironment, census.SourceFlag, census.SourceProgram)
	only := q.oneOf("only", "", "set", "live", "pending", "differs")
	byKey := func(a, b *census.Setting) int { return strings.Compare(a.Key, b.Key) }
	first := top(q, []column[census.Setting]{
		{"key", true, byKey},
		text("source", func(s *census.Setting) string { return s.Source }),
	}, byKey)
	if q.refused(w) {
		return
	}
	all := s.settings()
	for i := range all {
		k := &all[i]
		word, _, _ := strings.Cut(k.Source, " ")
		if q.search != "" && !strings.Contains(strings.ToLower(k.Key+" "+k.Meaning), q.search) ||
			source != "" && word != source ||
			only == "set" && word == census.SourceDefault || only == "live" && !k.Live ||
			only == "pending" && k.Pending == nil ||
			only == "differs" && k.Pending == nil && k.File == nil {
			continue
		}
		first.Add(k)
	}
	rows := []settingRow{}
	matched := first.Seen()
	for _, k := range first.Sorted(q.offset) {
		row := settingRow{
			Key: k.Key, Default: valueOf(&k.Default), Unit: k.Unit, Source: k.Source, Env: k.Env,
			Flag: k.Flag, Live: k.Live, Meaning: k.Meaning,
		}
		if !k.Roles || v.holds(permit.Admin) {
			row.Value, row.Pending = valueOf(k.Value), valueOf(k.Pending)
			row.File, row.Line = valueOf(k.File), k.Line
		}
		rows = append(rows, row)
	}
	read, admin := s.reading(), v.holds(permit.Admin)
	answer := configurationAnswer{
		listed: listed{instant(time.Now().UnixMilli()), len(all), matched, q.offset, q.limit},
		ReadAt: instant(read.At), Fault: read.Fault, Changes: changesOf(read.Changes, admin),
		Settings: rows,
	}
	if answer.Fault != "" && !admin && !v.holds(permit.Log) { // it may quote what others may do
		answer.Fault = "the configuration that was read last was not taken: see the log"
	}
	answerJSON(w, http.StatusOK, &answer)
}

// valueOf is a value as JSON, which it is already; nil for nil.
func valueOf(text *string) json.RawMessage {
	if text == nil {
		return nil
	}
	return json.RawMessage(*text)
}
