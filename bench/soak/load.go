//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"mbserver/bench/proc"
)

// load is whom the processors served while the attack lasted, and how long the node's turns took:
// what a probe waits is the node's own turns, and the processor that others have meanwhile.
type load struct {
	length                time.Duration
	node, attacker, judge proc.Sched
	collector             time.Duration            // of the node's time, its garbage collector's
	turns                 [len(turnBounds) + 1]int // all, and those longer than each bound
}

// turnBounds are bounds of the node's histogram of turns, as it writes them, in seconds.
var turnBounds = [...]string{"0.0025", "0.01", "0.1"}

// loadNow reads what has been until now. What cannot be read is zero.
func loadNow(n *node, m *muster) (l load) {
	l.node, l.attacker = proc.SchedOf(n.pid), proc.SchedOf(m.cmd.Process.Pid)
	l.judge = proc.SchedOf(os.Getpid())
	numbers, err := n.scrape()
	if err != nil {
		return l
	}
	l.collector = time.Duration(numbers["go_gc_cpu_seconds_total"] * float64(time.Second))
	l.turns[0] = int(numbers["mb_turn_seconds_count"])
	for i, bound := range turnBounds {
		within := int(numbers[`mb_turn_seconds_bucket{le="`+bound+`"}`])
		l.turns[1+i] = l.turns[0] - within
	}
	return l
}

// since is what has been since an earlier load.
func (l load) since(before load, length time.Duration) load {
	l.length = length
	l.node, l.attacker = less(l.node, before.node), less(l.attacker, before.attacker)
	l.judge = less(l.judge, before.judge)
	l.collector -= before.collector
	for i := range l.turns {
		l.turns[i] -= before.turns[i]
	}
	return l
}

func less(a, b proc.Sched) proc.Sched {
	return proc.Sched{Ran: a.Ran - b.Ran, Waited: a.Waited - b.Waited, Slices: a.Slices - b.Slices}
}

// String says it in a line.
func (l load) String() string {
	if l.length <= 0 {
		return "unknown"
	}
	part := func(d time.Duration) string {
		return fmt.Sprintf("%.2f", d.Seconds()/l.length.Seconds())
	}
	var longer []string
	for i, bound := range turnBounds {
		longer = append(longer, fmt.Sprintf("%d over %s s", l.turns[1+i], bound))
	}
	return fmt.Sprintf("the node ran on %s processors (its collector %s) and waited for %s (%v a "+
		"time), attackers %s, the judge %s; %d turns, %s",
		part(l.node.Ran), part(l.collector), part(l.node.Waited),
		(l.node.Waited / time.Duration(max(l.node.Slices, 1))).Round(time.Microsecond),
		part(l.attacker.Ran), part(l.judge.Ran), l.turns[0], strings.Join(longer, ", "))
}
