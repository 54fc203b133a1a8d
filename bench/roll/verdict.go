//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// tally is what became of the calls of a group, and of its connections.
type tally struct {
	group          string
	kind           string
	calls          int
	failed         map[string]int // by why
	lost           int            // with their connection, and not served
	lostServed     int            // with their connection, though a service had them
	away           int            // not made: there was no connection
	killed         int            // outstanding at a node that was killed
	slowest        time.Duration
	outage         time.Duration
	ends, refusals map[string]int
}

// verdict is what a trial has shown.
type verdict struct {
	tallies                    []tally
	restarts                   []restart
	order                      []string // of readiness and closes, by restart and front
	early                      int      // of those, where a connection ended first
	servedTwice, answeredTwice int
	idle, idleBound            time.Duration
	killBack                   time.Duration // all were connected again
	killMissed                 int
	late                       time.Duration // calls, at worst
	isCluster                  bool
	crossed                    int // requests, between nodes of a cluster
	failures                   []string
}

func (v *verdict) failf(format string, a ...any) {
	v.failures = append(v.failures, fmt.Sprintf(format, a...))
}

// conclude collects what the trial has seen, and judges it. The load has ended.
func (t *trial) conclude(idleBound time.Duration) *verdict {
	v := &verdict{restarts: t.restarts, idleBound: idleBound, late: t.late}
	v.isCluster, v.crossed = t.bus != nil && t.book != nil, t.crossed
	for _, g := range t.groups {
		v.tallies = append(v.tallies, t.tally(g))
	}
	if t.book != nil {
		v.servedTwice, v.answeredTwice = t.book.twice()
	}
	for _, r := range t.restarts {
		for _, g := range t.groups {
			if g.front != "nginx" {
				v.compare(t.balancers.log, g.front, r)
			}
		}
	}
	if d := t.killed; d != nil {
		v.killBack, v.killMissed = d.back.Sub(d.at), d.missed
	}
	if len(t.idle) > 0 {
		slices.Sort(t.idle)
		v.idle = t.idle[len(t.idle)/2]
	}
	v.judge()
	return v
}

// killSlack is how long a client may take to notice that its node is gone: what it asks meanwhile
// is lost, too.
const killSlack = time.Second

func (t *trial) tally(g *group) tally {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := tally{
		group: g.String(), kind: g.kind, calls: g.calls, failed: make(map[string]int),
		slowest: g.slowest, outage: g.outage, ends: g.ends, refusals: g.refusals,
	}
	for _, c := range g.bad {
		if d := t.killed; d != nil {
			there := c.node == d.id && c.began.Before(d.at.Add(killSlack)) && c.ended.After(d.at)
			nowhere := c.node == "" && c.outcome.fate != failed && c.began.After(d.at)
			if there || nowhere || c.served(d) {
				a.killed++
				continue
			}
		}
		switch c.outcome.fate {
		case lost:
			if t.book.wasServed(c.id) {
				a.lostServed++
			} else {
				a.lost++
			}
		case away:
			a.away++
		default:
			a.failed[c.outcome.why]++
		}
	}
	return a
}

// served says whether the call may have been given to a service of the node that was killed, by
// another node.
func (c *call) served(d *death) bool {
	return c.outcome.fate == failed && c.outcome.why == nodeLost &&
		c.began.Before(d.at.Add(killSlack)) && c.ended.After(d.at)
}

// nodeLost is why a request failed whose service's node is gone.
const nodeLost = "SERVICE_UNAVAILABLE node_lost"

// unanswered lists the calls that were not answered, a line each.
func (t *trial) unanswered() string {
	var s strings.Builder
	const form = "15:04:05.000"
	for _, g := range t.groups {
		for _, c := range g.bad {
			fmt.Fprintf(&s, "%s %s %s took %v at %s: %v %s\n", c.began.Format(form), g, c.topic,
				c.ended.Sub(c.began).Round(time.Millisecond), c.node, c.outcome.fate, c.outcome.why)
		}
	}
	if t.late > 0 {
		fmt.Fprintf(&s, "%s calls were %v late\n", t.lateAt.Format(form), t.late)
	}
	return s.String()
}

// compare notes which came first in the log: that the node is down, or that a connection ended.
func (v *verdict) compare(l *balancerLog, front string, r restart) {
	down, isDown := l.first(r.at, turned(front, r.node, "DOWN"))
	end, isEnd := l.first(r.at, closed(front, r.node))
	since := func(line logLine, is bool) string {
		if !is {
			return "never"
		}
		return fmt.Sprintf("%.2f s", line.at.Sub(r.at).Seconds())
	}
	said := fmt.Sprintf("%s %s: down after %s, first connection ended after %s",
		r.node, front, since(down, isDown), since(end, isEnd))
	if slices.Contains(v.order, said) {
		return // Two groups at one front.
	}
	v.order = append(v.order, said)
	if isEnd && (!isDown || end.at.Before(down.at)) {
		v.early++
	}
}

func (v *verdict) judge() {
	for _, a := range v.tallies {
		v.judgeGroup(a)
	}
	if v.isCluster && v.crossed == 0 {
		v.failf("no request went to a service of another node")
	}
	if v.servedTwice > 0 {
		v.failf("%d calls were served twice", v.servedTwice)
	}
	if v.answeredTwice > 0 {
		v.failf("%d requests were answered twice", v.answeredTwice)
	}
	for _, r := range v.restarts {
		if r.code != 0 {
			v.failf("%s ended with exit code %d: %s", r.node, r.code, r.said)
		}
		if r.missed > 0 {
			v.failf("%d clients were not connected elsewhere %.1f s after %s had ended",
				r.missed, r.back.Seconds(), r.node)
		}
	}
	if v.early > 0 {
		v.failf("%d times a connection ended before HAProxy took the node out", v.early)
	}
	if v.killMissed > 0 {
		v.failf("%d clients were not back %.1f s after a node was killed",
			v.killMissed, v.killBack.Seconds())
	}
	if v.idle > v.idleBound {
		v.failf("an idle node took %.0f ms to end, at most %.0f",
			1e3*v.idle.Seconds(), 1e3*v.idleBound.Seconds())
	}
}

// disturbed says that the machine had so much else to do that clients with a second to go elsewhere
// may have had none, and balancers none to reach a node. What a node does wrong shows all the same:
// nothing else is judged less strictly.
func (v *verdict) disturbed() bool { return v.late > 250*time.Millisecond }

func (v *verdict) judgeGroup(a tally) {
	if a.calls == 0 {
		v.failf("%s: no call was made", a.group)
	}
	if len(a.failed) > 0 {
		v.failf("%s: failed: %s", a.group, listed(a.failed))
	}
	if a.lostServed > 0 {
		v.failf("%s: %d requests were served and their connection ended before the answer",
			a.group, a.lostServed)
	}
	if len(a.refusals) > 0 && !v.disturbed() {
		v.failf("%s: connections refused: %s", a.group, listed(a.refusals))
	}
	for end, n := range a.ends {
		switch end {
		case endStream, endGoing, endLeft:
		default:
			if v.killBack == 0 {
				v.failf("%s: %d connections ended with: %s", a.group, n, end)
			}
		}
	}
	if a.kind == "go" && a.lost+a.away > 0 && !v.disturbed() {
		v.failf("%s: %d requests lost with their connection, %d not made for want of one",
			a.group, a.lost, a.away)
	}
}

// listed is a map of counts, largest first.
func listed(counts map[string]int) string {
	var all []string
	for _, what := range slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return 2*(counts[b]-counts[a]) + strings.Compare(a, b)
	}) {
		all = append(all, fmt.Sprintf("%s: %d", what, counts[what]))
	}
	return strings.Join(all, ", ")
}

// String is the whole report, in Markdown.
func (v *verdict) String() string {
	var s strings.Builder
	if len(v.tallies) > 0 {
		s.WriteString("| clients | calls | failed | lost with the connection | of these served |" +
			" no connection | slowest, ms | away at most, ms | at the node killed | ends |\n" +
			"|---|---|---|---|---|---|---|---|---|---|\n")
	}
	for _, a := range v.tallies {
		failed := 0
		for _, n := range a.failed {
			failed += n
		}
		fmt.Fprintf(&s, "| %s | %d | %d | %d | %d | %d | %.0f | %.0f | %d | %s |\n",
			a.group, a.calls, failed, a.lost+a.lostServed, a.lostServed, a.away,
			1e3*a.slowest.Seconds(), 1e3*a.outage.Seconds(), a.killed, listed(a.ends))
	}
	for _, r := range v.restarts {
		fmt.Fprintf(&s, "restart of %s: ended after %.1f s with exit code %d\n",
			r.node, r.took.Seconds(), r.code)
	}
	for _, line := range v.order {
		fmt.Fprintln(&s, line)
	}
	if v.isCluster {
		fmt.Fprintf(&s, "of the requests, %d were given to a service of another node since each "+
			"node runs\n", v.crossed)
	}
	if v.killBack > 0 {
		fmt.Fprintf(&s, "kill -9: all connected again after %.2f s\n", v.killBack.Seconds())
	}
	if v.idle > 0 {
		fmt.Fprintf(&s, "SIGTERM while idle: %.0f ms (median)\n", 1e3*v.idle.Seconds())
	}
	if v.late > 0 {
		fmt.Fprintf(&s, "calls were made up to %.0f ms late: so long nothing ran here\n",
			1e3*v.late.Seconds())
	}
	if v.disturbed() {
		s.WriteString("DISTURBED: what was lost with a connection, or refused, is not judged\n")
	}
	for _, f := range v.failures {
		fmt.Fprintln(&s, "FAILED", f)
	}
	return s.String()
}
