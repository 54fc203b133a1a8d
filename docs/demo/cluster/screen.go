package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"
)

// screen shows what happens: lines that stay, and below them, on a terminal, a board that changes.
type screen struct {
	began     time.Time
	stop      func()       // Ctrl-C was typed
	program   *tea.Program // nil: this is no terminal
	done      chan struct{}
	bold, off string
}

func newScreen(stop func()) *screen {
	s := &screen{began: time.Now(), stop: stop, done: make(chan struct{})}
	if term.IsTerminal(int(os.Stdout.Fd())) && term.IsTerminal(int(os.Stdin.Fd())) &&
		os.Getenv("TERM") != "dumb" {
		s.bold, s.off = "\x1b[1m", "\x1b[0m"
	}
	return s
}

// model is the board.
type model struct {
	screen *screen
	board  func() string
	text   string
}

// Messages of the program to itself.
type (
	due   struct{}
	ended struct{}
)

// Init implements tea.Model.
func (m *model) Init() tea.Cmd { return m.next() }

func (m *model) next() tea.Cmd {
	return tea.Tick(100*time.Millisecond, func(time.Time) tea.Msg { return due{} })
}

// Update implements tea.Model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case due:
		m.text = m.board()
		return m, m.next()
	case ended: // the summary has all of it
		m.text = ""
		return m, tea.Quit
	case tea.KeyPressMsg:
		if key := msg.String(); key == "ctrl+c" || key == "q" {
			m.screen.stop()
		}
	}
	return m, nil
}

// View implements tea.Model.
func (m *model) View() tea.View { return tea.NewView(m.text) }

// begin shows the board.
func (s *screen) begin(board func() string) {
	if s.bold == "" {
		return
	}
	s.program = tea.NewProgram(&model{screen: s, board: board}, tea.WithoutSignalHandler())
	go func() {
		defer close(s.done)
		if _, err := s.program.Run(); err != nil {
			s.stop()
		}
	}()
}

// end takes the board away, and gives the terminal back.
func (s *screen) end() {
	if s.program != nil {
		s.program.Send(ended{})
		<-s.done
		s.program = nil
	}
}

// title says what comes.
func (s *screen) title(title, why string) {
	s.print("\n" + s.bold + title + s.off + "\n" + why)
}

// say tells what has happened.
func (s *screen) say(text string) {
	s.print(fmt.Sprintf("%6.1f s  %s", time.Since(s.began).Seconds(), text))
}

func (s *screen) print(text string) {
	if s.program != nil {
		s.program.Println(text)
		return
	}
	fmt.Println(text)
}

// board is what changes.
func (d *demo) board() string {
	var b strings.Builder
	rule := strings.Repeat("─", 72)
	fmt.Fprintf(&b, "%s\n", rule)
	for _, n := range d.stage.nodes {
		ready, live, island, killed := n.seen()
		how := fmt.Sprintf("knows %d of the others", live)
		switch {
		case killed:
			ready, how = "killed", ""
		case ready == "":
			ready, how = "starts", ""
		case island:
			how = "NATS does not answer: it is alone"
		}
		fmt.Fprintf(&b, "node %-7s %-10s %s\n", n.name, ready, how)
	}
	d.shown.Lock()
	subscribers, p, q := d.subscribers, d.publisher, d.asking
	d.shown.Unlock()
	if p != nil {
		published, _, _ := p.so()
		fmt.Fprintf(&b, "\n%-10s %-10s %10s %10s %12s\n", "", "at node", "flights", "told lost",
			"missed away")
		fmt.Fprintf(&b, "%-10s %-10s %10d\n", "publisher", d.where(p.client), published)
		for _, s := range subscribers {
			a := s.account()
			where := d.where(s.client)
			if a.gone {
				where = "-"
			}
			fmt.Fprintf(&b, "%-10s %-10s %10d %10d %12d\n",
				s.name, where, a.received, a.told, a.away)
		}
	}
	if q != nil {
		b.WriteString(d.askedBoard(q))
	}
	b.WriteString(rule)
	return b.String()
}

// summary says whether everything adds up.
func (d *demo) summary() (good bool) {
	published, deliveries, unconfirmed := d.publisher.so()
	bold, off := d.screen.bold, d.screen.off
	fmt.Printf("\n%sWhat became of %d flights%s\n", bold, published, off)
	const columns = "%-10s %10v %10v %10v %12v  %s\n"
	fmt.Printf(columns, "", "published", "received", "told lost", "missed away", "")
	good = true
	var all account
	sum := 0
	for _, s := range d.subscribers {
		a, verdict := s.account(), "adds up"
		if !a.adds(published) {
			good, verdict = false, fmt.Sprintf("WRONG (%d doubled or out of order)", a.wrong)
		}
		since := published - max(a.first, 0)
		fmt.Printf(columns, s.name, since, a.received, a.told, a.away, verdict)
		sum += since
		all.received, all.told, all.away = all.received+a.received, all.told+a.told, all.away+a.away
	}
	fmt.Printf(columns, "together", sum, all.received, all.told, all.away, "")
	fmt.Printf(`
published: since it subscribed. told lost: its node has said so. missed away:
between two connections, which it knows by itself. The publisher's
acknowledgements counted %d of these deliveries, and said of %d flights
that a node could not be asked (unconfirmed).
`, deliveries, unconfirmed)
	return good
}
