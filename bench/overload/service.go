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
	c := &caller{
		conn: connection, topic: "bench.work", timeout: timeout,
		asked: make([]asked, 0, requests),
	}
	connection.frame = c.answer
	return c
}

func (c *caller) ask(at time.Duration) {
	n := len(c.asked)
	header := fmt.Sprintf("request:%s:1.0.0:%s::%d", c.topic, id(n), c.timeout.Milliseconds())
	c.send(header, fmt.Sprintf("%0*d", payload, n))
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

// stallWorker is the service: it answers what it reads, and keeps the answers while it is stalled.
type stallWorker struct {
	*conn
	caller     *caller // whose requests it answers
	stalled    bool
	held       [][]byte // what it has read and not answered
	delivered  int
	late       int // of those, the ones read after their deadline
	lateBefore int // of those, the ones read before it resumed
}

// request takes one message.
func (w *stallWorker) request(now time.Duration, body []byte) {
	if !bytes.HasPrefix(body, []byte("request:bench.work:")) {
		return // its answer came too late
	}
	i := bytes.IndexByte(body, '\n')
	n := 0
	for _, b := range body[i+1:] {
		n = n*10 + int(b-'0')
	}
	w.delivered++
	w.caller.asked[n].delivered = true
	if now > w.caller.asked[n].at+serviceTimeout {
		w.late++
	}
	answer := appendFrame(nil, "response"+string(body[len("request"):i]), "done")
	if w.stalled {
		w.held = append(w.held, answer)
		return
	}
	w.write(answer)
}

// resume ends the stall.
func (w *stallWorker) resume() {
	w.lateBefore = w.late
	w.stalled = false
	w.listen(true)
	for _, answer := range w.held {
		w.write(answer)
	}
}

// dialWorker is the connection of a service on bench.work that takes room requests at a time.
func dialWorker(l *loop, s *server, description string, room int) (*conn, error) {
	registration := fmt.Sprintf(`{"name":"worker","description":%q,"maxConcurrent":%d}`,
		description, room)
	return l.dial(s.address, false,
		[2]string{"system.service.register", registration},
		[2]string{"system.topic.subscribe", `{"action":"request","topic":"bench.work"}`})
}

// stallTimes are the ends of the phases of one run.
type stallTimes struct{ begin, stopped, resumed, end time.Duration }

func stallService(o options, reads bool) error {
	s, l, finish, err := begin(o)
	if err != nil {
		return err
	}
	defer finish()
	w := &stallWorker{}
	if w.conn, err = dialWorker(l, s, "stalls", serviceRoom); err != nil {
		return err
	}
	connection, err := l.dial(s.address, false)
	if err != nil {
		return err
	}
	c := newCaller(connection, serviceTimeout, serviceRate*int(2*o.stall/time.Second+15))
	w.caller, w.frame = c, w.request
	tick := ticker{next: l.now(), every: time.Second / serviceRate}
	each := func(now time.Duration) { tick.due(now, c.ask) }
	stall := o.stall * 3 / 2
	t := stallTimes{begin: l.now()}
	if err := l.drive(t.begin+5*time.Second, each); err != nil {
		return err
	}
	t.stopped = l.now()
	w.stalled = true
	if !reads {
		w.listen(false)
	}
	if err := l.drive(t.stopped+stall, each); err != nil {
		return err
	}
	t.resumed = l.now()
	w.resume()
	if err := l.drive(t.resumed+5*time.Second, each); err != nil {
		return err
	}
	t.end = l.now()
	if err := l.drive(t.end+serviceTimeout+time.Second, func(time.Duration) {}); err != nil {
		return err
	}
	manner := "reads its requests and answers none"
	if !reads {
		manner = "does not read its socket"
	}
	fmt.Printf("service: %d requests/s, each 1 s at most; "+
		"the service takes %d at a time, and for %v %s\n", serviceRate, serviceRoom, stall, manner)
	return w.report(t, s)
}

// report prints what became of the requests; not exactly one answer to each is an error.
func (w *stallWorker) report(t stallTimes, s *server) error {
	c := w.caller
	quiet := c.latencies(t.begin+time.Second, t.stopped-time.Second)
	fmt.Printf("  before: p50 %.0f µs, p99 %.0f µs; %s\n",
		quantile(quiet, .5), quantile(quiet, .99), c.outcomes(t.begin, t.stopped-serviceTimeout))
	fmt.Printf("  during: %s\n", c.outcomes(t.stopped, t.resumed-serviceTimeout))
	undead := 0
	for _, a := range c.asked {
		if a.delivered && a.expired {
			undead++
		}
	}
	fmt.Printf("  delivered %d; after their deadline: %d; "+
		"read by the service later than that: %d during the stall, %d afterwards\n",
		w.delivered, undead, w.lateBefore, w.late-w.lateBefore)
	for k := range 5 {
		from := t.resumed + time.Duration(k)*time.Second
		us := c.latencies(from, from+time.Second)
		p99 := quantile(us, .99)
		fmt.Printf("  second %d after it: %d answered of %d, p99 %.0f µs, %.2f of before\n",
			k+1, len(us), serviceRate, p99, p99/quantile(quiet, .99))
	}
	missing := strings.Contains(c.outcomes(0, t.end), "no answer")
	fmt.Printf("  answered twice: %d; never: %v; memory %.1f MiB\n\n",
		c.twice, missing, float64(s.resident())/(1<<20))
	if c.twice > 0 || missing || undead > 0 {
		return fmt.Errorf("not exactly one answer each, or delivered after its end")
	}
	return nil
}
