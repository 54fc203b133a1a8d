package top

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"mbserver/cmd/mb/human"
	"mbserver/cmd/mb/observe"
	"mbserver/cmd/mb/terminal"
)

// column is one column of a list of T.
type column[T any] struct {
	title string
	order string // of which the column is the key; "" is never marked
	width int    // the least, when most is not 0
	most  int    // it takes what is left, up to this
	left  bool   // aligned so; numbers are not
	cell  func(*T) string
	style func(*T) ansi.Style // nil: plain
	told  func(*T) bool       // nil: always. A column that no row tells is left out
}

// fit chooses the columns that are told and have room, the first ones before the others. What is
// left goes to those that can take it, and then to the last one.
func fit[T any](all []column[T], rows []T, width int) (chosen []column[T]) {
	left := width + 1
	for _, c := range all {
		if c.told != nil && !slices.ContainsFunc(rows, func(r T) bool { return c.told(&r) }) {
			continue
		}
		if left < 1+c.width && len(chosen) > 0 {
			break
		}
		left -= 1 + c.width
		chosen = append(chosen, c)
	}
	for i := range chosen {
		if more := min(chosen[i].most-chosen[i].width, left); more > 0 {
			chosen[i].width += more
			left -= more
		}
	}
	if last := &chosen[len(chosen)-1]; last.left {
		last.width += max(left, 0)
	}
	return chosen
}

// table draws the heading and the rows.
func table[T any](columns []column[T], rows []T, order string, reversed bool) (lines []string) {
	cells := make([]string, len(columns))
	for i, c := range columns {
		title := c.title
		if c.order != "" && c.order == order {
			mark := "▾"
			if reversed {
				mark = "▴"
			}
			title += mark
		}
		cells[i] = pad(title, c.width, c.left)
	}
	lines = append(lines, faint.Styled(strings.Join(cells, " ")))
	for r := range rows {
		for i, c := range columns {
			cells[i] = pad(c.cell(&rows[r]), c.width, c.left)
			if c.style != nil {
				cells[i] = c.style(&rows[r]).Styled(cells[i])
			}
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	return lines
}

// pad makes text exactly width columns wide.
func pad(text string, width int, left bool) string {
	text = ansi.Truncate(text, width, "…")
	space := strings.Repeat(" ", max(width-ansi.StringWidth(text), 0))
	if left {
		return text + space
	}
	return space + text
}

// above is worrying for a number above zero.
func above(v int64, style ansi.Style) ansi.Style {
	if v > 0 {
		return style
	}
	return ansi.Style{}
}

// connectionColumns are those of connections, the most important first.
func connectionColumns(f observe.Figures, now time.Time) []column[observe.Connection] {
	type row = observe.Connection
	number := func(v int64) string { return strconv.FormatInt(v, 10) }
	return []column[row]{
		{title: "NAME", order: "name", width: 12, most: 36, left: true,
			cell: func(c *row) string { return terminal.Cell(c.Name) }},
		{title: "ID", width: 8, left: true,
			cell: func(c *row) string { return terminal.Cell(c.ID[:min(8, len(c.ID))]) }},
		{title: "OUTST", order: "outstanding", width: 6,
			cell: func(c *row) string { return number(c.Outstanding) }},
		{title: "QUEUED", order: "queued", width: 7,
			cell:  func(c *row) string { return number(c.Queued) },
			style: func(c *row) ansi.Style { return above(c.Queued, worrying) }},
		{title: "BACKLOG", order: "backlog", width: 9,
			cell: func(c *row) string { return human.Bytes(float64(observe.Told(c.BacklogBytes))) },
			style: func(c *row) ansi.Style {
				return above(observe.Told(c.BacklogBytes), worrying)
			},
			told: func(c *row) bool { return c.BacklogBytes != nil }},
		{title: "DROPPED", order: "dropped", width: 8,
			cell:  func(c *row) string { return human.Count(float64(observe.Told(c.Dropped))) },
			style: func(c *row) ansi.Style { return above(observe.Told(c.Dropped), alarming) },
			told:  func(c *row) bool { return c.Dropped != nil }},
		{title: "ERRORS", width: 7,
			cell:  func(c *row) string { return human.Rate(f.ErrorRate(c.ID)) },
			style: func(c *row) ansi.Style { return above(int64(f.ErrorRate(c.ID)), worrying) }},
		{title: "IDLE", order: "idle", width: 7,
			cell: func(c *row) string { return human.Span(c.Idle(now)) }},
		{title: "AGE", order: "age", width: 7,
			cell: func(c *row) string { return human.Span(c.Age(now)) }},
		{title: "VIA", order: "transport", width: 4, left: true,
			cell: func(c *row) string { return terminal.Cell(c.Transport) }},
		{title: "REMOTE", width: 21, left: true,
			cell: func(c *row) string { return terminal.Cell(c.Remote) },
			told: func(c *row) bool { return c.Remote != "" }},
		{title: "IDENTITY", width: 16, left: true,
			cell: func(c *row) string { return terminal.Cell(c.Identity) },
			told: func(c *row) bool { return c.Identity != "" }},
		{title: "DESCRIPTION", width: 30, left: true,
			cell: func(c *row) string { return terminal.Cell(c.Description) }},
	}
}

// whoShown is how many subscribers a row names.
const whoShown = 8

// topicColumns are those of subscriptions.
func topicColumns() []column[observe.Subscription] {
	type row = observe.Subscription
	return []column[row]{
		{title: "TOPIC", order: "topic", width: 12, most: 60, left: true,
			cell: func(s *row) string { return terminal.Cell(s.Topic) }},
		{title: "ACTION", width: 7, left: true,
			cell: func(s *row) string { return terminal.Cell(s.Action) }},
		{title: "SUBSCRIBERS", order: "subscribers", width: 12,
			cell: func(s *row) string { return strconv.Itoa(len(s.Subscribers)) }},
		{title: "WHO", width: 20, left: true, cell: func(s *row) string { return s.Who(whoShown) }},
	}
}
