//go:build linux

package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// matches is the rule of protocol §3, level by level: what subscribers must receive is computed,
// not believed.
func matches(pattern, topic string) bool {
	p, t := strings.Split(pattern, "."), strings.Split(topic, ".")
	for i, level := range p {
		switch {
		case level == "#":
			return true
		case i >= len(t) || level != "+" && level != t[i]:
			return false
		}
	}
	return len(p) == len(t)
}

// wildcards is a large tree: each subscriber holds 200 patterns, about one in ten with wildcards.
// Of those only one matches, ten of the 1000 topics. One subscriber more takes everything.
func (t *try) wildcards() ([]*stream, error) {
	const topicsEach, patternsEach = 10, 200
	n := t.s.subscribers
	s := &stream{window: window}
	var burst []byte
	size := 0
	for i := range n * topicsEach {
		topic := "bench." + level("a", i%n) + "." + level("b", i/n)
		burst = t.wire.appendPublish(burst, topic, payloadOf(t.payload))
		size = t.wire.delivered(topic, t.payload)
	}
	for i := range n {
		patterns := []string{"bench." + level("a", i) + ".+"}
		for k := 1; k < patternsEach; k++ {
			p := "other." + level("x", i) + "." + level("y", k)
			if k%10 == 0 {
				p = []string{
					p + ".#",
					"other.+." + level("y", k) + "." + level("x", i),
					"+." + level("x", i) + "." + level("z", k),
				}[k/10%3]
			}
			patterns = append(patterns, p)
		}
		if err := t.subscriber(s, patterns, topicsEach*size); err != nil {
			return nil, err
		}
	}
	if err := t.subscriber(s, []string{"bench.#"}, n*topicsEach*size); err != nil {
		return nil, err
	}
	s.deliveries = 2 * n * topicsEach
	return []*stream{s}, t.publisher(s, "bench", burst)
}

const trafficRound = 2000 // messages

// flight is a line of the traffic file.
type flight struct {
	Delay               int
	Origin, Destination string
}

// readTraffic returns up to limit messages: topics and payloads.
func readTraffic(path string, limit int) (topics []string, payloads [][]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for len(topics) < limit && in.Scan() {
		var one flight
		if err := json.Unmarshal(in.Bytes(), &one); err != nil {
			return nil, nil, fmt.Errorf("%s, line %d: %w", path, len(topics)+1, err)
		}
		kind := "late"
		switch {
		case one.Delay < 0:
			kind = "early"
		case one.Delay < 15:
			kind = "ontime"
		}
		topics = append(topics, strings.ToLower("flight."+one.Origin+"."+one.Destination+"."+kind))
		payloads = append(payloads, []byte(in.Text()))
	}
	if len(topics) == 0 {
		return nil, nil, fmt.Errorf("%s: no message in it", path)
	}
	return topics, payloads, in.Err()
}

// traffic publishes real messages of many topics and sizes to subscribers with patterns of all
// shapes.
func (t *try) traffic() ([]*stream, error) {
	topics, payloads, err := readTraffic(t.Traffic, trafficRound)
	if err != nil {
		return nil, err
	}
	s := &stream{window: window}
	for i := range t.s.subscribers {
		p := strings.Split(topics[i*len(topics)/t.s.subscribers], ".")
		pattern := []string{
			strings.Join(p, "."),
			"flight." + p[1] + ".#",
			"flight.+." + p[2] + ".+",
			"flight.+.+." + p[3],
			"flight." + p[1] + ".+.late",
		}[i%5]
		share := 0
		for k, topic := range topics {
			if matches(pattern, topic) {
				share += t.wire.delivered(topic, len(payloads[k]))
				s.deliveries++
			}
		}
		if share == 0 {
			continue // the share of a late one may be nothing
		}
		if err := t.subscriber(s, []string{pattern}, share); err != nil {
			return nil, err
		}
	}
	if err := t.subscriber(s, []string{"flight.#"}, 0); err != nil {
		return nil, err
	}
	all := s.subscribers[len(s.subscribers)-1]
	var burst []byte
	for k, topic := range topics {
		burst = t.wire.appendPublish(burst, topic, payloads[k])
		all.share += int64(t.wire.delivered(topic, len(payloads[k])))
	}
	s.deliveries += len(topics)
	return []*stream{s}, t.publisher(s, "flight", burst)
}
