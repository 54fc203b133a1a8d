package top

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"mbserver/cmd/mb/human"
	"mbserver/cmd/mb/observe"
	"mbserver/cmd/mb/terminal"
)

// Heights. What does not fit is left out from the bottom up; the graph goes first.
const (
	leastList  = 6 // heading and rows that a graph leaves
	leastGraph = 7
	mostGraph  = 14
)

// View draws the screen.
func (m *model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(time.Now()), "\n"))
	v.AltScreen = true
	v.WindowTitle = "mb top " + m.options.Server
	return v
}

// lines are exactly those of the screen, none wider than it.
func (m *model) lines(now time.Time) []string {
	r := m.shown()
	lines := []string{m.title(r, now)}
	switch {
	case m.help:
		lines = append(lines, helpLines()...)
	case r.sample == nil:
		lines = append(lines, "", "waiting for the first answer…")
	default:
		lines = append(lines, figureLines(figures(r), m.width)...)
		if left := m.height - len(lines) - 2; left >= leastGraph+leastList {
			height := min(max(leastGraph, left*2/5), mostGraph)
			g := &graphs[m.graph]
			lines = append(lines, g.lines(r.points, r.sample.At, m.spanShown(), m.width, height)...)
		}
		lines = append(lines, m.list(r, m.height-len(lines)-1)...)
	}
	lines = lines[:min(len(lines), max(m.height-1, 1))]
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	if m.height > 1 {
		lines = append(lines, m.foot(r))
	}
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], m.width, "")
	}
	return lines
}

// about says which node it is.
func (m *model) about(r *reading) string {
	text := " mb top  " + m.options.Server
	s := r.sample
	if s == nil {
		return text
	}
	if s.NodeID != "" {
		text += "  node " + terminal.Cell(s.NodeID[:min(8, len(s.NodeID))])
	}
	if s.Version != "" {
		text += "  " + terminal.Cell(s.Version)
	}
	return text + "  up " + human.Span(s.Figures.Uptime())
}

// title is the first line: which node, and whether what is shown is new.
func (m *model) title(r *reading, now time.Time) string {
	right, style := "", inverted
	if r.sample != nil {
		right = "  " + r.sampleTime() + " "
		if every := m.every(); every > m.options.Interval {
			right = "  every " + every.Round(100*time.Millisecond).String() + right
		}
	}
	switch {
	case m.now.err != nil:
		style = inverted.ForegroundColor(ansi.Red)
		right = "  NO ANSWER for " + human.Span(now.Sub(m.now.since)) + " "
	case m.frozen != nil:
		style = inverted.ForegroundColor(ansi.Yellow)
		right = "  PAUSED at " + r.sampleTime() + " "
	}
	room := max(m.width-ansi.StringWidth(right), 0)
	return style.Styled(pad(m.about(r), room, true) + right)
}

func (r *reading) sampleTime() string {
	if r.sample == nil {
		return "the start"
	}
	return r.sample.At.Format(time.TimeOnly)
}

// list is the page that is shown, height lines of it: its name among the others', then rows.
func (m *model) list(r *reading, height int) []string {
	var rows []string
	shown, all := 0, 0
	switch m.page {
	case connectionsPage:
		rows, shown, all = m.connections(r, height-1)
	case topicsPage:
		rows, shown, all = m.topics(r, height-1)
	default:
		rows = m.log(r, height-1)
	}
	names := []string{"1 connections", "2 topics", "3 log"}
	for i := range names {
		if i == m.page {
			names[i] = bold.Styled("[" + names[i] + "]")
		} else {
			names[i] = faint.Styled(" " + names[i] + " ")
		}
	}
	head := strings.Join(names, " ")
	if m.page != logPage {
		head += fmt.Sprintf("  %d", all)
		if shown != all {
			head += fmt.Sprintf(", %d with %q", shown, m.filter)
		}
		head += "  by " + orders(m.page)[m.order[m.page]]
		if m.reversed[m.page] {
			head += ", least first"
		}
	}
	return append([]string{head}, rows...)
}

// window scrolls: it returns which of n rows are seen in a list of height lines with a heading.
func (m *model) window(n, height int) (from, to int) {
	room := max(height-1, 0)
	m.scroll = min(m.scroll, max(n-room, 0))
	return m.scroll, min(m.scroll+room, n)
}

// connections are the rows of the page of that name.
func (m *model) connections(r *reading, height int) (lines []string, shown, all int) {
	var chosen []observe.Connection
	for i := range r.sample.Connections {
		if r.sample.Connections[i].Has(m.filter) {
			chosen = append(chosen, r.sample.Connections[i])
		}
	}
	order := orders(connectionsPage)[m.order[connectionsPage]]
	observe.Sort(chosen, order)
	if m.reversed[connectionsPage] {
		slices.Reverse(chosen)
	}
	from, to := m.window(len(chosen), height)
	clock := observe.Clock(r.sample.Connections)
	columns := fit(connectionColumns(r.sample.Figures, clock), r.sample.Connections, m.width)
	lines = table(columns, chosen[from:to], order, m.reversed[connectionsPage])
	return lines, len(chosen), len(r.sample.Connections)
}

// topics are the rows of the page of that name.
func (m *model) topics(r *reading, height int) (lines []string, shown, all int) {
	if r.subscriptions == nil {
		return []string{"asking the node…"}, 0, 0
	}
	var chosen []observe.Subscription
	for _, s := range r.subscriptions {
		if strings.Contains(s.Topic, strings.ToLower(m.filter)) {
			chosen = append(chosen, s)
		}
	}
	order := orders(topicsPage)[m.order[topicsPage]]
	observe.SortSubscriptions(chosen, order)
	if m.reversed[topicsPage] {
		slices.Reverse(chosen)
	}
	from, to := m.window(len(chosen), height)
	lines = table(fit(topicColumns(), chosen, m.width), chosen[from:to], order,
		m.reversed[topicsPage])
	return lines, len(chosen), len(r.subscriptions)
}

// log are the newest notes, the newest first, as many lines of each as it needs.
func (m *model) log(r *reading, height int) (lines []string) {
	if len(r.notes) == 0 {
		return []string{faint.Styled("no warning and no error since mb top was started")}
	}
	for i := len(r.notes) - 1; i >= 0; i-- {
		n := &r.notes[i]
		text := ansi.Hardwrap(terminal.Cell(n.Text), max(m.width-2, 1), false)
		for j, line := range strings.Split(text, "\n") {
			if j > 0 {
				line = "  " + line
			}
			lines = append(lines, n.style().Styled(line))
		}
	}
	from, to := m.window(len(lines), height+1) // It has no heading.
	return lines[from:to]
}

func (n *Note) style() ansi.Style {
	if n.Level == "error" {
		return alarming
	}
	return ansi.Style{}.ForegroundColor(ansi.Yellow)
}

// foot is the last line: what is wrong, what is being written, the newest warning, or the keys.
func (m *model) foot(r *reading) string {
	const keys = "q quit  p pause  s sort  r reverse  / filter  tab page  g graph  ? help"
	switch {
	case m.typing:
		return "filter: " + m.filter + "▏ (enter: keep, esc: none)"
	case m.help:
		return faint.Styled("any key: back")
	case m.now.err != nil:
		return alarming.Styled(terminal.Cell(m.now.err.Error()) + "; trying again")
	case len(r.notes) > 0 && m.page != logPage:
		n := &r.notes[len(r.notes)-1]
		return faint.Styled("? help  3 log: ") + n.style().Styled(terminal.Cell(n.Text))
	}
	return faint.Styled(keys)
}

func helpLines() []string {
	text := `
 q, esc, ctrl+c  quit                        p, space  pause: the screen stands
 1 2 3, tab      connections, topics, log    /         only rows with a text
 s, S            sort by the next, the last  r         the least first
 up, down, pgup, pgdown, home, end           scroll
 g               another graph               + -       of less time, of more
 ctrl+z          suspend                     ctrl+l    draw again

 in          messages that arrived           out       handed to connections
 errors      messages answered with one      dropped   lost by slow subscribers
 unrouted    publishes nobody gets           timeouts  requests nobody answered
 unanswered  requests, until now             queued    requests waiting for room
 limited     over a rate limit               bytes in  of messages
 OUTST       unanswered by this connection   IDLE      since it said something
 slow        their sockets take nothing      unread    not read until they read
 backlog     the largest of a connection     round trip  of one heartbeat

 by load     who holds others up: by backlog, waiting, unanswered requests
 out, slow, unread, backlog: told by the admin listener only, --admin HOST:PORT`
	return strings.Split(text, "\n")
}
