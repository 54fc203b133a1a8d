package top

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"mbserver/cmd/mb/observe"
)

// Rows of a snapshot's lists.
const snapshotRows = 10

// Text is one snapshot for what is no terminal: the figures, and the first rows of the lists.
func Text(s, before *observe.Sample, o Options) string {
	const width = 100
	m := newModel(context.Background(), o)
	m.width = width
	if before != nil {
		m.take(sampled{sample: before}, before.At)
	}
	m.take(sampled{sample: s}, s.At)
	lines := []string{strings.TrimSpace(m.about(&m.now)) + "  " + s.At.Format(time.DateTime)}
	lines = append(lines, figureLines(figures(&m.now), width)...)
	for _, list := range []func(*reading, int) ([]string, int, int){m.connections, m.topics} {
		rows, _, all := list(&m.now, snapshotRows+1)
		lines = append(append(lines, ""), rows...)
		if more := all - snapshotRows; more > 0 {
			lines = append(lines, fmt.Sprintf("… and %d more", more))
		}
	}
	for i := range lines {
		lines[i] = strings.TrimRight(ansi.Strip(lines[i]), " ")
	}
	return strings.Join(lines, "\n") + "\n"
}
