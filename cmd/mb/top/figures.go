package top

import (
	"strings"

	"github.com/charmbracelet/x/ansi"

	"mbserver/cmd/mb/human"
	"mbserver/cmd/mb/observe"
)

// The styles. Colours are those of the terminal's own palette.
var (
	bold     = ansi.Style{}.Bold()
	faint    = ansi.Style{}.Faint()
	inverted = ansi.Style{}.Reverse(true)
	worrying = ansi.Style{}.Bold().ForegroundColor(ansi.Yellow)
	alarming = ansi.Style{}.Bold().ForegroundColor(ansi.Red)
)

// Columns of one figure: its name and its value, with the space behind them.
const (
	figureName  = 11
	figureValue = 9
)

// figure is one number of the head.
type figure struct {
	name, value string
	style       ansi.Style
}

// figures are the numbers of the head, in rows of four.
func figures(r *reading) []figure {
	s, rates := r.sample, &r.rates
	f := s.Figures
	out := "-"
	if rates.Out != nil {
		out = human.Rate(*rates.Out)
	}
	count := func(name, of string) figure { return figure{name, human.Count(f[of]), bold} }
	rate := func(name string, v float64) figure { return figure{name, human.Rate(v), bold} }
	trouble := func(name string, v float64, style ansi.Style) figure {
		if v == 0 {
			style = bold
		}
		return figure{name, human.Rate(v), style}
	}
	queued := count("queued", observe.Queued)
	if f[observe.Queued] > 0 {
		queued.style = worrying
	}
	all := []figure{
		rate("in", rates.In), {"out", out, bold},
		rate("publishes", rates.Publishes), rate("requests", rates.Requests),

		trouble("errors", rates.Errors, worrying), trouble("dropped", rates.Dropped, alarming),
		trouble("unrouted", rates.Unrouted, worrying),
		trouble("timeouts", rates.Timeouts, alarming),

		count("connected", observe.Connected), trouble("limited", rates.Limited, worrying),
		count("unanswered", observe.Outstanding), queued,

		{"cpu", human.Percent(f[observe.CPU]), bold},
		{"memory", human.Bytes(f[observe.Memory]), bold},
		{"bytes in", human.Bytes(rates.BytesIn) + "/s", bold},
		{"round trip", human.Latency(s.RoundTrip), bold},
	}
	return append(all, exported(r)...)
}

// worryingBacklog is what one connection may make the node hold without a second look, in bytes.
const worryingBacklog = 1 << 20

// exported are the numbers that only the admin listener tells.
func exported(r *reading) (all []figure) {
	told := r.sample.Exported
	add := func(name, of string, write func(float64) string, worry float64) {
		v, ok := told[of]
		if !ok {
			return
		}
		style := bold
		if v > worry {
			style = worrying
		}
		all = append(all, figure{name, write(v), style})
	}
	add("slow", observe.Slow, human.Count, 0)
	add("unread", observe.Unread, human.Count, 0)
	add("backlog", observe.LargestBacklog, human.Bytes, worryingBacklog)
	if out := r.rates.BytesOut; out != nil {
		all = append(all, figure{"bytes out", human.Bytes(*out) + "/s", bold})
	}
	return all
}

// figureLines sets figures beside each other, four or eight in a row as the width allows.
func figureLines(all []figure, width int) (lines []string) {
	const cell = figureName + figureValue
	row := 4
	switch {
	case width >= 8*cell:
		row = 8
	case width < 4*cell:
		row = max(width/cell, 1)
	}
	for start := 0; start < len(all); start += row {
		var line strings.Builder
		for _, f := range all[start:min(start+row, len(all))] {
			line.WriteString(faint.Styled(pad(f.name, figureName, true)))
			line.WriteString(f.style.Styled(f.value))
			line.WriteString(strings.Repeat(" ", max(figureValue-ansi.StringWidth(f.value), 1)))
		}
		lines = append(lines, line.String())
	}
	return lines
}
