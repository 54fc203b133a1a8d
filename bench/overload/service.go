//go:build linux

package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The load on the service that stalls.
const (
	serviceRate    = 2000 // requests per second
	serviceTimeout = time.Second
	serviceRoom    = 64 // requests it takes at a time
)

// asked is one request of an open loop.
type asked struct {
	at, answered time.Duration // due, answered; 0 while it is not
	outcome      string        // "", "ok" or the error's code and reason
	delivered    bool
	expired      bool // told to have ended while it waited: it must never be delivered
}

// caller sends requests at fixed times and keeps what became of them.
type caller struct {
	*conn
	topic   string
	timeout time.Duration
	asked   []asked
	twice   int // answers beyond the first
}

// newCaller is a caller that will not have to grow its books before it has sent that many requests.
func newCaller(connection *conn, timeout time.Duration, requests int) *caller {
	c := &caller{conn: connection, topic: "bench.work", timeout: timeout, asked: make([]asked, 0, requests)}
	connection.frame = c.answer
	return c
}

func (c *caller) ask(at time.Duration) {
	c.send(fmt.Sprintf("request:%s:1.0.0:%s::%d", c.topic, id(len(c.asked)), c.timeout.Milliseconds()), fmt.Sprintf("%0*d", payload, len(c.asked)))
	c.asked = append(c.asked, asked{at: at})
}

// answer books one answer.
func (c *caller) answer(now time.Duration, body []byte) {
	n, ok := number(body)
	if !ok || n >= len(c.asked) {
		return
	}
	a := &c.asked[n]
	if a.outcome != "" {
		c.twice++
		return
	}
	a.answered, a.outcome = now, "ok"
	if i := bytes.Index(body, []byte(`"code":"`)); i > 0 {
		code := body[i+8:]
		a.outcome = string(code[:bytes.IndexByte(code, '"')])
		if a.outcome == "TIMEOUT" && !bytes.Contains(body, []byte("targetServiceId")) {
			a.outcome, a.expired = "TIMEOUT waiting", true
		}
		if j := bytes.Index(body, []byte(`"reason":"`)); j > 0 {
			reason := body[j+10:]
			a.outcome += " " + string(reason[:bytes.IndexByte(reason, '"')])
		}
	}
}

// latencies are the µs of the successful requests that were due in [from, to).
func (c *caller) latencies(from, to time.Duration) (us []float64) {
	for _, a := range c.asked {
		if a.at >= from && a.at < to && a.outcome == "ok" {
			us = append(us, float64(a.answered-a.at)/1000)
		}
	}
	slices.Sort(us)
	return us
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// outcomes counts them, of the requests that were due in [from, to).
func (c *caller) outcomes(from, to time.Duration) string {
	count := map[string]int{}
	for _, a := range c.asked {
		if a.at >= from && a.at < to {
			if a.outcome == "" {
				a.outcome = "no answer"
			}
			count[a.outcome]++
		}
	}
	var parts []string
	for what, n := range count {
		parts = append(parts, fmt.Sprintf("%s %d", what, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// service stalls a service under load, in two manners.
func service(o options) error {
	for _, reads := range []bool{true, false} {
		if err := stallService(o, reads); err != nil {
			return err
		}
	}
	return nil
}

func stallService(o options, reads bool) error {
	s, l, finish, err := begin(o)
	if err != nil {
		return err
	}
	defer finish()
	worker, err := l.dial(s.address, false,
		[2]string{"system.service.register", fmt.Sprintf(`{"name":"worker","description":"stalls","maxConcurrent":%d}`, serviceRoom)},
		[2]string{"system.topic.subscribe", `{"action":"request","topic":"bench.work"}`})
	if err != nil {
		return err
	}
	connection, err := l.dial(s.address, false)
	if err != nil {
		return err
	}
	c := newCaller(connection, serviceTimeout, serviceRate*int(2*o.stall/time.Second+15))
	stalled := false
	var held [][]byte // what it has read and not answered
	delivered, late := 0, 0
	worker.frame = func(now time.Duration, body []byte) {
		if !bytes.HasPrefix(body, []byte("request:bench.work:")) {
			return // its answer came too late
		}
		i := bytes.IndexByte(body, '\n')
		n := 0
		for _, b := range body[i+1:] {
			n = n*10 + int(b-'0')
		}
		delivered++
		c.asked[n].delivered = true
		if now > c.asked[n].at+serviceTimeout {
			late++
		}
		answer := appendFrame(nil, "response"+string(body[len("request"):i]), "done")
		if stalled {
			held = append(held, answer)
			return
		}
		worker.write(answer)
	}
	tick := ticker{next: l.now(), every: time.Second / serviceRate}
	each := func(now time.Duration) { tick.due(now, c.ask) }
	stall := o.stall * 3 / 2
	begin := l.now()
	if err := l.drive(begin+5*time.Second, each); err != nil {
		return err
	}
	stopped := l.now()
	stalled = true
	if !reads {
		worker.listen(false)
	}
	if err := l.drive(stopped+stall, each); err != nil {
		return err
	}
	resumed := l.now()
	lateBefore := late
	stalled = false
	worker.listen(true)
	for _, answer := range held {
		worker.write(answer)
	}
	if err := l.drive(resumed+5*time.Second, each); err != nil {
		return err
	}
	end := l.now()
	if err := l.drive(end+serviceTimeout+time.Second, func(time.Duration) {}); err != nil {
		return err
	}
	manner := "reads its requests and answers none"
	if !reads {
		manner = "does not read its socket"
	}
	quiet := c.latencies(begin+time.Second, stopped-time.Second)
	fmt.Printf("service: %d requests/s, each 1 s at most; the service takes %d at a time, and for %v %s\n", serviceRate, serviceRoom, stall, manner)
	fmt.Printf("  before: p50 %.0f µs, p99 %.0f µs; %s\n", quantile(quiet, .5), quantile(quiet, .99), c.outcomes(begin, stopped-serviceTimeout))
	fmt.Printf("  during: %s\n", c.outcomes(stopped, resumed-serviceTimeout))
	undead := 0
	for _, a := range c.asked {
		if a.delivered && a.expired {
			undead++
		}
	}
	fmt.Printf("  delivered %d; after their deadline: %d; read by the service later than that: %d during the stall, %d afterwards\n",
		delivered, undead, lateBefore, late-lateBefore)
	for k := range 5 {
		from := resumed + time.Duration(k)*time.Second
		us := c.latencies(from, from+time.Second)
		fmt.Printf("  second %d after it: %d answered of %d, p99 %.0f µs, %.2f of before\n", k+1, len(us), serviceRate, quantile(us, .99), quantile(us, .99)/quantile(quiet, .99))
	}
	missing := strings.Contains(c.outcomes(0, end), "no answer")
	fmt.Printf("  answered twice: %d; never: %v; memory %.1f MiB\n\n", c.twice, missing, float64(s.resident())/(1<<20))
	if c.twice > 0 || missing || undead > 0 {
		return fmt.Errorf("not exactly one answer each, or delivered after its end")
	}
	return nil
}
