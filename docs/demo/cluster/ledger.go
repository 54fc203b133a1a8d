package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"mbserver/client"
)

// flight is what is published of one.
type flight struct {
	topic   string
	payload []byte // without its number
}

// readFlights reads the flights of make demo.
func readFlights() (all []flight, err error) {
	text, err := os.ReadFile("server/blackbox/testdata/flights.ndjson")
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		var f struct {
			Origin, Destination string
			Delay               int
		}
		if err := json.Unmarshal(line, &f); err != nil {
			return nil, err
		}
		how := "late"
		if f.Delay < 0 {
			how = "early"
		} else if f.Delay < 15 {
			how = "ontime"
		}
		all = append(all, flight{
			strings.ToLower("flights." + f.Origin + "." + f.Destination + "." + how),
			bytes.TrimSpace(line[1:]), // without the brace
		})
	}
	return all, nil
}

// subscriber is somebody who reads flights. Each has a number, so that a hole is seen.
type subscriber struct {
	name   string
	client *client.Client

	// Guarded by mu.
	mu       sync.Mutex
	first    int // number of the first that it got; -1: none came yet
	next     int // after the last
	received int
	told     int  // that they were lost, by the node
	away     int  // that came while it had no connection
	wrong    int  // doubled, or out of order
	unheard  int  // told since the last one
	gone     bool // its connection has ended
	hole     bool // it has ended, and nothing came since
}

// number is that of a flight.
func number(payload []byte) int {
	text, _ := bytes.CutPrefix(payload, []byte(`{"n":`))
	digits, _, _ := bytes.Cut(text, []byte{','})
	n, err := strconv.Atoi(string(digits))
	if err != nil {
		return -1
	}
	return n
}

// take notes a flight that has come.
func (s *subscriber) take(m client.Message) {
	n := number(m.Payload)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first < 0 {
		s.first, s.next = n, n
	}
	if n < s.next {
		s.wrong++
		return
	}
	if s.hole { // what it knows by itself
		s.away += max(n-s.next-s.unheard, 0)
	}
	s.next, s.hole, s.unheard = n+1, false, 0
	s.received++
}

// lost notes what the node tells to be lost.
func (s *subscriber) lost(g client.Gap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told += int(g.Count)
	s.unheard += int(g.Count)
}

// parted: there is a hole from here on. The first flight after it may come before returned does,
// for a subscription is in use as soon as it stands.
func (s *subscriber) parted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone, s.hole = true, true
}

func (s *subscriber) returned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = false
}

// account is what is known of a subscriber's flights.
type account struct {
	first, received, told, away, wrong int
	gone, hole                         bool
}

func (s *subscriber) account() account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return account{s.first, s.received, s.told, s.away, s.wrong, s.gone, s.hole}
}

// adds says that of so many flights all are accounted for.
func (a account) adds(published int) bool {
	return a.wrong == 0 && a.first >= 0 && a.received+a.told+a.away == published-a.first
}

// publisher publishes flights, and reads the answers.
type publisher struct {
	client  *client.Client
	flights []flight

	// Guarded by mu.
	mu          sync.Mutex
	published   int
	deliveries  int // that the answers count
	unconfirmed int // flights of which a node did not say how many it has given to
	wrong       error
}

// answersMost is how many publishes may wait for their answers.
const answersMost = 4096

// run publishes so many flights a second until stop is closed, and returns when all are answered.
func (p *publisher) run(ctx context.Context, rate int, stop <-chan struct{}) error {
	answers := make(chan client.Pending, answersMost)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for a := range answers {
			ack, err := a.Wait(ctx)
			p.mu.Lock()
			p.deliveries += ack.Subscribers - ack.Dropped
			if ack.Unconfirmed > 0 {
				p.unconfirmed++
			}
			if err != nil && p.wrong == nil {
				p.wrong = err
			}
			p.mu.Unlock()
		}
	}()
	err := p.publish(ctx, rate, stop, answers)
	close(answers)
	<-read
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.wrong != nil {
		err = fmt.Errorf("a publish failed: %w", p.wrong)
	}
	return err
}

func (p *publisher) publish(
	ctx context.Context, rate int, stop <-chan struct{}, answers chan<- client.Pending,
) error {
	began := time.Now()
	for n := 0; ; n++ {
		due := time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(rate)))
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(due):
		}
		f := &p.flights[n%len(p.flights)]
		payload := fmt.Appendf(nil, `{"n":%d,%s`, n, f.payload)
		a, err := p.client.PublishAsync(ctx, f.topic, payload)
		if err != nil {
			return fmt.Errorf("a publish failed: %w", err)
		}
		p.mu.Lock()
		p.published++
		p.mu.Unlock()
		answers <- a
	}
}

// so is how far it is.
func (p *publisher) so() (published, deliveries, unconfirmed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.published, p.deliveries, p.unconfirmed
}
