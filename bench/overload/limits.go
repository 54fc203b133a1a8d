//go:build linux

package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Sizes of one round of the limits scenario.
const (
	limitsBatch    = 256 // messages in one write
	limitsWindow   = 4 * limitsBatch
	limitsMessages = 2000 * limitsBatch // published to one subscriber
	limitsRequests = 150_000
	limitsInFlight = 256
)

// everyLimit is all of them, far above what one core can do.
var everyLimit = []string{
	"rate.limit.global.per.service=1000000000", "rate.limit.global.per.topic=1000000000",
	"rate.limit.global.total=1000000000",
	"rate.limit.topic.per.service.bench.#=1000000000",
	"rate.limit.topic.per.service.+.load=1000000000",
	"max.outstanding.perService=1000000", "connection.backpressure=pause",
}

// limits compares the server's CPU time per message with every limit and with none, in turns.
func limits(o options) error {
	fmt.Printf("limits: the server's CPU ns per message, medians of %d rounds in turns\n"+
		"  %-34s %10s %10s %8s %20s\n",
		o.repeat, "", "all off", "all on", "on/off", "range of the ratio")
	publish := func(subscribers int, acknowledged bool) func(*server) (float64, error) {
		return func(s *server) (float64, error) { return publishCost(s, subscribers, acknowledged) }
	}
	for _, load := range []struct {
		name string
		run  func(s *server) (float64, error)
	}{
		{"publish, 1 subscriber", publish(1, false)},
		{"publish, 10 subscribers", publish(10, false)},
		{"acknowledged publish, 1 subscriber", publish(1, true)},
		{"request and response, 256 in flight", requestCost},
	} {
		var off, on, ratio []float64
		for range o.repeat {
			var cost [2]float64
			runtime.GC()
			for i, settings := range [][]string{nil, everyLimit} {
				s, err := startServer(o.server, settings...)
				if err != nil {
					return err
				}
				cost[i], err = load.run(s)
				s.stop()
				if err != nil {
					return fmt.Errorf("%s: %w", load.name, err)
				}
			}
			off, on = append(off, cost[0]), append(on, cost[1])
			ratio = append(ratio, cost[1]/cost[0])
		}
		fmt.Printf("  %-34s %10.0f %10.0f %8.3f %12.3f – %.3f\n", load.name,
			median(off), median(on), median(ratio), slices.Min(ratio), slices.Max(ratio))
	}
	fmt.Println()
	return nil
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

// publishCost is the CPU ns per delivered message. The publisher is a window ahead of the slowest
// subscriber.
func publishCost(s *server, subscribers int, acknowledged bool) (float64, error) {
	l, err := newLoop()
	if err != nil {
		return 0, err
	}
	defer l.close()
	received := make([]int, subscribers)
	for i := range received {
		c, err := l.dial(s.address, false,
			[2]string{"system.topic.subscribe", `{"action":"publish","topic":"bench.load"}`})
		if err != nil {
			return 0, err
		}
		c.frame = func(time.Duration, []byte) { received[i]++ }
	}
	publisher, err := l.dial(s.address, false)
	if err != nil {
		return 0, err
	}
	header := "publish:bench.load:1.0.0"
	if acknowledged {
		header += ":" + id(1)
	}
	var burst []byte
	for range limitsBatch {
		burst = appendFrame(burst, header, strings.Repeat("x", payload))
	}
	sent := 0
	pump := func(total int) error {
		for deadline := l.now() + time.Minute; ; {
			least := slices.Min(received)
			if least >= total {
				return nil
			}
			if sent < total && sent-least <= limitsWindow-limitsBatch {
				publisher.write(burst)
				sent += limitsBatch
			}
			if l.now() > deadline {
				return errors.New("messages are missing")
			}
			if err := l.turn(); err != nil {
				return err
			}
		}
	}
	warm := limitsMessages / 10 / limitsBatch * limitsBatch
	messages := limitsMessages / subscribers / limitsBatch * limitsBatch
	if err := pump(warm); err != nil {
		return 0, err
	}
	before := s.cpu()
	if err := pump(warm + messages); err != nil {
		return 0, err
	}
	return float64(s.cpu()-before) / float64(messages*subscribers), nil
}

// requestCost is the CPU ns per round trip.
func requestCost(s *server) (float64, error) {
	l, err := newLoop()
	if err != nil {
		return 0, err
	}
	defer l.close()
	worker, err := l.dial(s.address, false,
		[2]string{"system.topic.subscribe", `{"action":"request","topic":"bench.load"}`})
	if err != nil {
		return 0, err
	}
	var answers []byte // of one read; written together
	worker.frame = func(_ time.Duration, body []byte) {
		header := "response" + string(body[len("request"):len("request:bench.load:1.0.0:")+36])
		answers = appendFrame(answers, header, "done")
	}
	client, err := l.dial(s.address, false)
	if err != nil {
		return 0, err
	}
	answered, sent := 0, 0
	client.frame = func(time.Duration, []byte) { answered++ }
	question := appendFrame(nil, "request:bench.load:1.0.0:"+id(1), strings.Repeat("r", payload))
	pump := func(total int) error {
		for deadline := l.now() + time.Minute; answered < total; {
			var b []byte
			for ; sent < total && sent-answered < limitsInFlight; sent++ {
				b = append(b, question...)
			}
			if len(b) > 0 {
				client.write(b)
			}
			if len(answers) > 0 {
				worker.write(answers)
				answers = answers[:0]
			}
			if l.now() > deadline {
				return errors.New("answers are missing")
			}
			if err := l.turn(); err != nil {
				return err
			}
		}
		return nil
	}
	if err := pump(limitsRequests / 10); err != nil {
		return 0, err
	}
	before := s.cpu()
	if err := pump(limitsRequests/10 + limitsRequests); err != nil {
		return 0, err
	}
	return float64(s.cpu()-before) / limitsRequests, nil
}
