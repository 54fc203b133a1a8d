package top

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"mbserver/cmd/mb/observe"
)

// clock is where the time of the tests begins.
var clock = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// sampleAt is a sample some seconds after clock, of a node with n connections.
func sampleAt(seconds, n int) *observe.Sample {
	s := &observe.Sample{
		At: clock.Add(time.Duration(seconds) * time.Second), NodeID: "0a1b2c3d-4e5f",
		Version: "1.2.3", Took: time.Millisecond, RoundTrip: 213 * time.Microsecond,
		Figures: observe.Figures{
			observe.Uptime: 3600 + float64(seconds), observe.Connected: float64(n),
			"router.message.count": 12345 * float64(seconds),
		},
		Subscriptions: []observe.Subscription{
			{Topic: "a.#", Action: "publish", Subscribers: make([]observe.Subscriber, 3)},
			{Topic: "b", Action: "request", Subscribers: make([]observe.Subscriber, 1)},
		},
	}
	for i := range n {
		s.Connections = append(s.Connections, observe.Connection{
			ID:     fmt.Sprintf("%08d-0000", i),
			Name:   fmt.Sprintf("服务 service %d 👩‍💻 with a long name", i),
			Queued: int64(i), Transport: "tcp", Description: "\x1b[2Jdescribed",
			ConnectedAt: clock.Format(time.RFC3339), LastHeartbeat: s.At.Format(time.RFC3339),
		})
	}
	return s
}

func newTestModel(samples ...*observe.Sample) *model {
	m := newModel(context.Background(), Options{
		Interval: time.Second, Server: "tcp://broker:3001", Order: "load",
	})
	for _, s := range samples {
		m.take(sampled{sample: s}, s.At)
	}
	return m
}

func (m *model) screen() string {
	return ansi.Strip(strings.Join(m.lines(clock.Add(time.Minute)), "\n"))
}

// press presses keys: single letters, or names such as "enter".
func (m *model) press(keys ...string) (cmd tea.Cmd) {
	named := map[string]rune{
		"tab": tea.KeyTab, "enter": tea.KeyEnter, "esc": tea.KeyEscape, "end": tea.KeyEnd,
		"home": tea.KeyHome, "down": tea.KeyDown, "up": tea.KeyUp, "pgdown": tea.KeyPgDown,
		"backspace": tea.KeyBackspace,
	}
	for _, k := range keys {
		press := tea.KeyPressMsg{Code: named[k]}
		if press.Code == 0 {
			press = tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
		}
		_, cmd = m.Update(press)
	}
	return cmd
}

// Whatever the size of the terminal and whatever is shown: as many lines as it has, none wider,
// and nothing that others wrote acts on it.
func TestScreenFits(t *testing.T) {
	states := map[string]func() *model{
		"waiting": func() *model { return newTestModel() },
		"one":     func() *model { return newTestModel(sampleAt(0, 1)) },
		"many": func() *model {
			m := newTestModel()
			for i := range 400 {
				s := sampleAt(i, 50)
				m.take(sampled{sample: s}, s.At)
			}
			m.Update(Note{Level: "warn", Text: strings.Repeat("a long warning ", 20) + "\x1b[2J\n"})
			return m
		},
		"failing": func() *model {
			m := newTestModel(sampleAt(0, 5))
			m.take(sampled{err: errors.New(strings.Repeat("lost ", 50))}, clock)
			return m
		},
	}
	for name, state := range states {
		m := state()
		for _, keys := range []string{"", "2", "3", "?", "1p", "/x", "1sr", "g", "g", "-", "+"} {
			for _, key := range keys {
				m.press(string(key))
			}
			for _, size := range [][2]int{
				{80, 24}, {200, 60}, {40, 10}, {132, 43}, {79, 12}, {20, 5}, {5, 2}, {1, 1},
			} {
				m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
				lines := m.lines(clock)
				if len(lines) != size[1] {
					t.Errorf("%s, keys %s, %v: %d lines", name, keys, size, len(lines))
				}
				for _, line := range lines {
					w := ansi.StringWidth(line)
					if w > size[0] || strings.Contains(line, "\x1b[2J") {
						t.Errorf("%s, keys %s, %v: %d columns in %q", name, keys, size, w, line)
					}
				}
			}
		}
	}
}

func TestScreenSaysWhatItShows(t *testing.T) {
	m := newTestModel(sampleAt(0, 3), sampleAt(2, 3))
	for _, want := range []string{
		"mb top  tcp://broker:3001  node 0a1b2c3d  1.2.3  up 1h 0m", "03:04:07",
		"in         12.3 k/s", "out        -", "out (not told)", "round trip 213 µs",
		"connected  3",
		"[1 connections]", "3  by load", "OUTST  QUEUED", "服务 service 2", "q quit",
	} {
		if screen := m.screen(); !strings.Contains(screen, want) {
			t.Errorf("%q is not in\n%s", want, screen)
		}
	}
	m.take(sampled{err: errors.New("connection refused")}, clock)
	for _, want := range []string{"NO ANSWER for 1m 0s", "connection refused; trying again"} {
		if screen := m.screen(); !strings.Contains(screen, want) {
			t.Errorf("%q is not in\n%s", want, screen)
		}
	}
	m.take(sampled{sample: sampleAt(3, 3)}, clock)
	if screen := m.screen(); strings.Contains(screen, "NO ANSWER") {
		t.Errorf("it answers again:\n%s", screen)
	}
}

// order returns the IDs of the rows that are shown.
func (m *model) rows() (ids []string) {
	for _, line := range strings.Split(m.screen(), "\n") {
		for _, field := range strings.Fields(line) {
			if len(field) == 8 && strings.Trim(field, "0123456789") == "" {
				ids = append(ids, strings.TrimLeft(field, "0"))
			}
		}
	}
	return ids
}

func TestKeys(t *testing.T) {
	m := newTestModel(sampleAt(0, 30))
	first := func(want string) {
		t.Helper()
		if rows := m.rows(); len(rows) == 0 || rows[0] != want {
			t.Errorf("rows %q, the first is to be %q", rows, want)
		}
	}
	first("29") // most queued
	m.press("r")
	first("")
	m.press("r", "end")
	if rows := m.rows(); rows[len(rows)-1] != "" {
		t.Errorf("the last row of %q is not the last connection", rows)
	}
	m.press("home", "down")
	first("28")
	m.press("up", "up", "pgdown")
	first("17")
	m.press("/", "7", " ", "q", "backspace", "backspace", "enter")
	if rows := m.rows(); len(rows) != 3 || !strings.Contains(m.screen(), `30, 3 with "7"`) {
		t.Errorf("filtered rows %q", rows)
	}
	m.press("/", "esc")
	m.press("s", "s") // queued
	if !strings.Contains(m.screen(), "by queued") || !strings.Contains(m.screen(), "QUEUED▾") {
		t.Errorf("not sorted:\n%s", m.screen())
	}
	m.press("S", "S", "S")
	if !strings.Contains(m.screen(), "by transport") {
		t.Errorf("not sorted backwards:\n%s", m.screen())
	}
	m.press("tab")
	if screen := m.screen(); !strings.Contains(screen, "[2 topics]") ||
		!strings.Contains(screen, "SUBSCRIBERS▾") || !strings.Contains(screen, "a.#") {
		t.Errorf("topics:\n%s", screen)
	}
	m.Update(Note{Level: "warn", Text: "slow subscriber"})
	if screen := m.screen(); !strings.Contains(screen, "3 log: slow subscriber") {
		t.Errorf("a warning is to be seen:\n%s", screen)
	}
	m.press("3")
	if screen := m.screen(); !strings.Contains(screen, "\nslow subscriber\n") {
		t.Errorf("log:\n%s", screen)
	}
	m.press("g")
	if screen := m.screen(); !strings.Contains(screen, "timeouts") {
		t.Errorf("another graph:\n%s", screen)
	}
	m.press("?")
	if screen := m.screen(); !strings.Contains(screen, "pause: the screen stands") {
		t.Errorf("help:\n%s", screen)
	}
	m.press("q") // closes the help
	for _, key := range []string{"q", "esc"} {
		if cmd := m.press(key); cmd == nil || cmd() != tea.Quit() {
			t.Errorf("%s does not quit", key)
		}
	}
}

// While paused the screen stands, and what happens meanwhile is in the graph afterwards.
func TestPause(t *testing.T) {
	m := newTestModel(sampleAt(0, 1), sampleAt(1, 1))
	m.press("p")
	before := m.screen()
	if !strings.Contains(before, "PAUSED at 03:04:06") {
		t.Errorf("it does not say so:\n%s", before)
	}
	m.take(sampled{sample: sampleAt(2, 9)}, clock)
	if after := m.screen(); after != before {
		t.Errorf("the screen has changed:\n%s\n%s", before, after)
	}
	m.press("p")
	if screen := m.screen(); !strings.Contains(screen, "connected  9") || len(m.now.points) != 3 {
		t.Errorf("%d points:\n%s", len(m.now.points), screen)
	}
}

// A node that takes long to answer is asked less often.
func TestPatience(t *testing.T) {
	m := newTestModel(sampleAt(0, 1))
	if d := m.pause(); d != 999*time.Millisecond {
		t.Errorf("a quick node is asked again after %v", d)
	}
	slow := sampleAt(1, 1)
	slow.Took = time.Second
	m.take(sampled{sample: slow}, clock)
	if d := m.pause(); d != 19*time.Second || !strings.Contains(m.screen(), "every 20s") {
		t.Errorf("a slow node is asked again after %v\n%s", d, m.screen())
	}
}

// What is kept is bounded by the longest time that the graph shows, and by a number of notes.
func TestKept(t *testing.T) {
	m := newTestModel()
	for i := range 2000 {
		m.take(sampled{sample: sampleAt(i, 0)}, clock)
		m.Update(Note{Text: "x"})
	}
	if n := len(m.now.points); n != 901 {
		t.Errorf("%d points", n)
	}
	if n := len(m.now.notes); n != notesKept {
		t.Errorf("%d notes", n)
	}
}

// The columns of the graph stand still on the clock: the largest of each, the one before where
// nothing fell into it, and a hole where nothing was known for long.
func TestGraphColumns(t *testing.T) {
	s := &series{value: func(p *point) float64 { return p.rates.In }}
	var points []point
	for _, at := range []int{0, 1, 2, 7, 9, 40, 41} {
		points = append(points, point{
			at: clock.Add(time.Duration(at) * time.Second), rates: observe.Rates{In: float64(at)},
		})
	}
	// Columns of two seconds; clock is at an odd second.
	now := clock.Add(41 * time.Second)
	data, highest, known := s.columns(points, now, time.Minute, 30)
	got := fmt.Sprint(data[8:])
	const want = "[0 2 2 2 7 9 NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN NaN 40 41]"
	if got != want || highest != 41 || !known {
		t.Errorf("columns %s, highest %v, want %s", got, highest, want)
	}
}

func TestText(t *testing.T) {
	text := Text(sampleAt(2, 13), sampleAt(0, 1), Options{Server: "tcp://b", Order: "load"})
	for _, want := range []string{
		"mb top  tcp://b  node 0a1b2c3d  1.2.3  up 1h 0m  2026-01-02 03:04:07\n", "12.3 k/s",
		"\n… and 3 more\n", "\na.# ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("it has sequences for a terminal: %q", text)
	}
}
