package blackbox

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// flight is one line of testdata/flights.ndjson.
type flight struct {
	Origin, Destination string
	Delay               int

	topic, line string
}

// punctuality is the last level of a flight's topic.
func (f flight) punctuality() string {
	switch {
	case f.Delay < 0:
		return "early"
	case f.Delay < 15:
		return "ontime"
	}
	return "late"
}

func readFlights(t testing.TB) []flight {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "flights.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var flights []flight
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var f flight
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		f.line = lines.Text()
		f.topic = "flights." + f.Origin + "." + f.Destination + "." + f.punctuality()
		flights = append(flights, f)
	}
	if len(flights) != 20_000 {
		t.Fatalf("%d flights, want 20,000", len(flights))
	}
	return flights
}

// flightPatterns are 60 subscriptions of all kinds, drawn from the flights themselves.
func flightPatterns(flights []flight) []string {
	patterns := []string{
		"#", "+.+.+.+", "flights.#", "flights.+.+.late", "flights.+.+.early", "Flights.+.+.#",
		"+.#", "flights.nowhere.#",
	}
	for i := 0; len(patterns) < 60; i++ {
		f := flights[i*331%len(flights)]
		patterns = append(patterns, []string{
			f.topic,
			strings.ToLower(f.topic),
			"flights." + f.Origin + ".#",
			"flights." + f.Origin + "." + strings.ToLower(f.Destination) + ".+",
			"flights.+." + f.Destination + "." + f.punctuality(),
			"+." + f.Origin + ".+.ontime",
		}[i%6])
	}
	return patterns
}

// 20,000 real flights through the tool to 60 subscribers: each gets what the naive matcher
// predicts, in order.
func TestFlights_FanOut(t *testing.T) {
	t.Parallel()
	if toolBinary == "" {
		t.Fatal("there is no cmd/mb")
	}
	n := startNode(t)
	flights := readFlights(t)
	patterns := flightPatterns(flights)
	results := make(chan error, len(patterns))
	subscribers := make([]*client, len(patterns))
	for i, pattern := range patterns {
		c := n.dial(t, transports[i/2%2]) // each kind of pattern over both
		c.subscribe("publish", pattern)
		subscribers[i] = c
		var want []flight
		for _, f := range flights {
			if matches(pattern, f.topic) {
				want = append(want, f)
			}
		}
		go func() {
			if err := expectFlights(c.peer, want); err != nil {
				results <- fmt.Errorf("%s over %s: %w", pattern, c.transport, err)
				return
			}
			results <- nil
		}()
	}
	pipeFlights(t, n, flights)
	for range patterns {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		return
	}
	for _, c := range subscribers {
		c.none()
	}
}

// pipeFlights feeds the tool one "topic<TAB>payload" line for each flight.
func pipeFlights(t testing.TB, n *node, flights []flight) {
	t.Helper()
	var input bytes.Buffer
	for _, f := range flights {
		fmt.Fprintf(&input, "%s\t%s\n", f.topic, f.line)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	pub := exec.CommandContext(ctx, toolBinary,
		"pub", "--tsv", "--fail-no-route", "--server", "tcp://"+n.tcp)
	pub.Stdin = &input
	pub.Env = cleanEnvironment()
	if out, err := pub.CombinedOutput(); err != nil {
		t.Fatalf("mb pub: %v\n%s", err, out)
	}
}

func expectFlights(p peer, want []flight) error {
	for i, f := range want {
		data, err := p.Recv(time.Now().Add(2 * patience))
		if err != nil {
			return fmt.Errorf("after %d of %d flights: %w", i, len(want), err)
		}
		m, err := parseMessage(data)
		if err != nil {
			return err
		}
		if m.Action != "publish" || m.Topic != f.topic || string(m.Payload) != f.line ||
			!isUUIDv4(m.ID) {
			return fmt.Errorf("flight %d of %d: got %v, want %s %s",
				i, len(want), m, f.topic, f.line)
		}
	}
	return nil
}

// route is what the delay service is asked about.
type route struct {
	Origin, Destination string
}

// delays is its answer.
type delays struct {
	Flights, Late, Worst int
}

func summarize(flights []flight) map[route]delays {
	summary := map[route]delays{}
	for _, f := range flights {
		key := route{f.Origin, f.Destination}
		d := summary[key]
		d.Flights++
		if f.punctuality() == "late" {
			d.Late++
		}
		d.Worst = max(d.Worst, f.Delay)
		summary[key] = d
	}
	return summary
}

// A service with four instances answers 2,000 questions about delays;
// every answer is that of its question.
func TestFlights_DelayLookup(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	flights := readFlights(t)
	summary := summarize(flights)
	const questions, requesters, instances = 2000, 8, 4
	results := make(chan error, requesters)
	lost := make(chan error, instances)
	for i := range instances {
		service := n.dial(t, transports[i%2])
		service.ok("system.service.register",
			fmt.Sprintf(`{"name":"delays%d","description":"looks delays up"}`, i))
		service.subscribe("request", "delay.lookup.+")
		go func() { lost <- serveDelays(service.peer, summary) }()
	}
	for i := range requesters {
		c := n.dial(t, transports[i/2%2])
		var mine []flight
		for q := i; q < questions; q += requesters {
			mine = append(mine, flights[q*7%len(flights)])
		}
		go func() { results <- askDelays(c.peer, mine, summary) }()
	}
	for range requesters {
		select {
		case err := <-results:
			if err != nil {
				t.Error(err)
			}
		case err := <-lost:
			t.Fatal(err)
		}
	}
}

// serveDelays answers until its connection ends.
func serveDelays(p peer, summary map[route]delays) error {
	for {
		f, err := p.Recv(time.Now().Add(2 * patience))
		if err != nil {
			return fmt.Errorf("the service: %w", err)
		}
		m, err := parseMessage(f)
		if err != nil {
			return err
		}
		var asked route
		if err := json.Unmarshal(m.Payload, &asked); err != nil || m.Action != "request" {
			return fmt.Errorf("the service got %v (%v)", m, err)
		}
		answer, err := json.Marshal(summary[asked])
		if err != nil {
			return err
		}
		head := "response:" + m.Topic + ":" + m.Version + ":" + m.ID
		if err := p.Send([]byte(head + "\n" + string(answer))); err != nil {
			return fmt.Errorf("the service: %w", err)
		}
	}
}

// askDelays asks all its questions at once and compares each answer.
func askDelays(p peer, flights []flight, summary map[route]delays) error {
	asked := map[string]flight{}
	for _, f := range flights {
		id := uuid.NewString()
		asked[id] = f
		question := fmt.Sprintf("request:delay.lookup.%s:1.0.0:%s::60000\n"+
			"{\"origin\":%q,\"destination\":%q}", f.Origin, id, f.Origin, f.Destination)
		if err := p.Send([]byte(question)); err != nil {
			return err
		}
	}
	for len(asked) > 0 {
		data, err := p.Recv(time.Now().Add(2 * patience))
		if err != nil {
			return fmt.Errorf("%d questions without an answer: %w", len(asked), err)
		}
		m, err := parseMessage(data)
		if err != nil {
			return err
		}
		f, known := asked[m.ID]
		var got delays
		err = json.Unmarshal(m.Payload, &got)
		if err != nil || !known || m.Topic != "delay.lookup."+f.Origin ||
			got != summary[route{f.Origin, f.Destination}] {
			return fmt.Errorf("asked about %s-%s, got %v (%v)", f.Origin, f.Destination, m, err)
		}
		delete(asked, m.ID)
	}
	return nil
}
