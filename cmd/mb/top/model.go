package top

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"mbserver/cmd/mb/observe"
)

// Bounds of what is kept.
const (
	notesKept = 200
	// A node that takes long to answer is asked less often: the questions take at most one part in
	// patience of its time.
	patience = 20
)

// The pages, in the order of their keys.
const (
	connectionsPage = iota
	topicsPage
	logPage
	pages
)

// point is one moment of the graph.
type point struct {
	at     time.Time
	rates  observe.Rates
	sample *observe.Sample // its figures only
}

// reading is what is known of the node.
type reading struct {
	sample *observe.Sample // nil before the first one
	rates  observe.Rates
	points []point
	err    error     // why there is no newer sample; nil: there is
	since  time.Time // of the error
	notes  []Note    // the newest last

	subscriptions []observe.Subscription // of the newest sample that has them; nil: none had
}

// model is the state of the screen. Owned by the program's event loop.
type model struct {
	// Immutable.
	ctx     context.Context
	options Options

	width, height int
	now           reading  // goes on while paused
	frozen        *reading // what is shown while paused

	page     int
	order    [logPage]int // of each list, an index of its orders
	reversed [logPage]bool
	graph    int
	span     int // of spans + 1; 0: as much as is known, up to autoSpan
	scroll   int
	filter   string
	typing   bool // the filter is being written
	help     bool
}

// Messages of the program to itself.
type (
	sampled struct {
		sample *observe.Sample
		err    error
	}
	due struct{}
)

func newModel(ctx context.Context, o Options) *model {
	m := &model{ctx: ctx, options: o, width: 80, height: 24}
	m.order[connectionsPage] = max(slices.Index(observe.Orders(), o.Order), 0)
	return m
}

// Init asks for the first sample.
func (m *model) Init() tea.Cmd { return tea.Batch(m.ask(), m.listen()) }

// ask returns a command that takes a sample, beside the event loop.
func (m *model) ask() tea.Cmd {
	subscriptions := m.page == topicsPage
	return func() tea.Msg {
		s, err := m.options.Source(m.ctx, subscriptions)
		return sampled{s, err}
	}
}

// listen returns a command that waits for the next note.
func (m *model) listen() tea.Cmd {
	return func() tea.Msg {
		select {
		case n := <-m.options.Notes:
			return n
		case <-m.ctx.Done():
			return nil
		}
	}
}

// Update takes what happened.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m, m.key(msg)
	case sampled:
		m.take(msg, time.Now())
		return m, tea.Tick(m.pause(), func(time.Time) tea.Msg { return due{} })
	case due:
		return m, m.ask()
	case Note:
		m.now.notes = append(m.now.notes, msg)
		m.now.notes = m.now.notes[max(len(m.now.notes)-notesKept, 0):]
		return m, m.listen()
	}
	return m, nil
}

// take notes a sample, or why there is none.
func (m *model) take(msg sampled, now time.Time) {
	r := &m.now
	if msg.err != nil {
		if r.err == nil {
			r.since = now
		}
		r.err = msg.err
		return
	}
	s := msg.sample
	r.err, r.rates, r.sample = nil, s.Since(r.sample), s
	kept := &observe.Sample{RoundTrip: s.RoundTrip, Figures: observe.Figures{}}
	for _, name := range graphed {
		kept.Figures[name] = s.Figures[name]
	}
	r.points = append(r.points, point{s.At, r.rates, kept})
	old := 0
	for s.At.Sub(r.points[old].at) > spans[len(spans)-1].time {
		old++
	}
	r.points = r.points[old:]
	if s.Subscriptions != nil {
		r.subscriptions = s.Subscriptions
	}
}

// pause is the time to the next sample.
func (m *model) pause() time.Duration {
	every := m.every()
	if m.now.sample != nil && m.now.err == nil {
		every -= m.now.sample.Took
	}
	return max(every, 0)
}

// every is the time from one sample to the next.
func (m *model) every() time.Duration {
	every := m.options.Interval
	if m.now.sample != nil {
		every = max(every, patience*m.now.sample.Took)
	}
	return every
}

// spanShown is the index of the time that the graph shows.
func (m *model) spanShown() int {
	if m.span > 0 {
		return m.span - 1
	}
	r := m.shown()
	i := 0
	for i < autoSpan && len(r.points) > 0 && r.sample.At.Sub(r.points[0].at) > spans[i].time {
		i++
	}
	return i
}

// shown is what the screen shows: the newest, or that of the moment at which it was paused.
func (m *model) shown() *reading {
	if m.frozen != nil {
		return m.frozen
	}
	return &m.now
}

// key does what a key asks for.
func (m *model) key(k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	switch {
	case name == "ctrl+c":
		return tea.Quit
	case name == "ctrl+z":
		return tea.Suspend
	case m.typing:
		m.typed(k)
		return nil
	case m.help: // Any key closes it.
		m.help = false
		return nil
	}
	switch name {
	case "q", "esc":
		return tea.Quit
	case "ctrl+l":
		return tea.ClearScreen
	case "?", "h", "f1":
		m.help = true
	case "p", "space":
		if m.frozen == nil {
			still := m.now
			m.frozen = &still
		} else {
			m.frozen = nil
		}
	case "g":
		m.graph = (m.graph + 1) % len(graphs)
	case "+", "=":
		m.span = max(m.spanShown(), 1)
	case "-":
		m.span = min(m.spanShown()+2, len(spans))
	case "/":
		m.typing = true
	case "s", "S", "r":
		m.sort(name)
	case "tab", "shift+tab", "1", "2", "3":
		return m.turn(name)
	default:
		m.move(name)
	}
	return nil
}

// sort changes the order of the list that is shown.
func (m *model) sort(key string) {
	if m.page == logPage {
		return
	}
	n := len(orders(m.page))
	switch key {
	case "s":
		m.order[m.page] = (m.order[m.page] + 1) % n
	case "S":
		m.order[m.page] = (m.order[m.page] + n - 1) % n
	case "r":
		m.reversed[m.page] = !m.reversed[m.page]
	}
	m.scroll = 0
}

// orders are those of a page's list.
func orders(page int) []string {
	if page == topicsPage {
		return []string{"subscribers", "topic"}
	}
	return observe.Orders()
}

// turn goes to another page. What that needs and nobody has asked for yet is asked for with the
// next sample.
func (m *model) turn(key string) tea.Cmd {
	switch key {
	case "tab":
		m.page = (m.page + 1) % pages
	case "shift+tab":
		m.page = (m.page + pages - 1) % pages
	default:
		m.page = int(key[0] - '1')
	}
	m.scroll = 0
	return nil
}

// move scrolls. The end is known when the list is drawn: see window.
func (m *model) move(key string) {
	page := max(m.height/2, 1)
	switch key {
	case "up", "k":
		m.scroll--
	case "down", "j":
		m.scroll++
	case "pgup", "ctrl+b":
		m.scroll -= page
	case "pgdown", "ctrl+f":
		m.scroll += page
	case "home":
		m.scroll = 0
	case "end", "G":
		m.scroll = math.MaxInt32
	}
	m.scroll = max(m.scroll, 0)
}

// typed takes a key of the filter.
func (m *model) typed(k tea.KeyPressMsg) {
	switch k.String() {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, m.filter = false, ""
	case "backspace":
		runes := []rune(m.filter)
		m.filter = string(runes[:max(len(runes)-1, 0)])
	default:
		m.filter += strings.TrimLeft(k.Text, "/")
	}
	m.scroll = 0
}
