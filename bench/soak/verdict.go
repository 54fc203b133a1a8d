//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"mbserver/bench/proc"
)

// held is what a node is held to, where a machine or a cell allows no more (flags).
type held struct {
	p99, max time.Duration // of the probes
	stop     time.Duration // the longest probe after a stop of the process
	memory   int           // percent of memory.limit, never more
	readers  int           // attackers that read and may be cut or not answered
}

// strict is what it should be held to.
var strict = held{
	p99: 10 * time.Millisecond, max: 100 * time.Millisecond, stop: 500 * time.Millisecond,
	memory: 105,
}

const (
	memoryOver   = 100 // at most one sample in so many above the limit, but for held.memory
	quietNormal  = time.Millisecond
	quietWorst   = 4 // beyond so many times that, the machine is too busy for a verdict
	fewestProbes = 2 // a loop's probes must be at least one in so many of those due
)

// verdict is what became of a cell.
type verdict struct {
	cell   cell
	held   held
	length time.Duration
	said   *proc.Tail

	memory          memory
	quiet, attacked figures
	stopped         figures // after stops of the process, by themselves
	spoilt          int
	late            time.Duration // the judge, at worst
	load            load
	slow            []time.Duration // after a stop: when probes were sent that took slowProbe
	faults, told    string          // of the polite clients
	arrivals        int
	slowest         time.Duration // newcomer
	army            report
	left            string
	shutdown        time.Duration
	obeyed          bool

	failures []string
}

func (v *verdict) failf(format string, a ...any) {
	v.failures = append(v.failures, fmt.Sprintf(format, a...))
}

func (v *verdict) probesOf(p *probes) {
	v.attacked, v.stopped = p.result(phaseAttack), p.resultAfter()
	v.spoilt, v.late, v.slow = p.spoilt, p.worst, p.slow
	if err := p.broken(); err != nil {
		v.failf("%v", err)
	}
}

func (v *verdict) politeOf(p *polite) {
	v.faults, v.told = p.count(p.faults), p.count(p.told)
	v.arrivals, v.slowest = p.arrivals, p.slowest
}

// scale is how much slower than it should be everything is without an attack, within reason.
func (v *verdict) scale() float64 {
	return min(max(1, float64(v.quiet.p99)/float64(quietNormal)), quietWorst)
}

// wronged counts the attackers that read and were cut or not answered.
func (v *verdict) wronged() (n int) {
	for _, of := range v.army.Wronged {
		n += of
	}
	return n
}

// judge adds the failures.
func (v *verdict) judge() {
	limit := int64(v.cell.mebibytes) << 20
	if v.held.memory <= strict.memory && v.memory.over*memoryOver > v.memory.samples {
		v.failf("resident above the limit in %d of %d samples", v.memory.over, v.memory.samples)
	}
	if v.memory.most*100 > limit*int64(v.held.memory) {
		v.failf("resident %s of %d MiB", mebi(v.memory.most), v.cell.mebibytes)
	}
	if p99 := time.Duration(v.scale() * float64(v.held.p99)); v.attacked.p99 > p99 {
		v.failf("probes: p99 %v, at most %v", ms(v.attacked.p99), ms(p99))
	}
	if most := time.Duration(v.scale()*float64(v.held.max)) + v.late; v.attacked.max > most {
		v.failf("probes: longest %v, at most %v", ms(v.attacked.max), ms(most))
	}
	if most := time.Duration(v.scale()*float64(v.held.stop)) + v.late; v.stopped.max > most {
		v.failf("probes after a stop: longest %v, at most %v", ms(v.stopped.max), ms(most))
	}
	due := int(v.length/probeEvery) * probesPerLoop
	if !v.cell.pauses() && v.attacked.count < due/fewestProbes {
		v.failf("only %d of %d probes on a loop", v.attacked.count, due)
	}
	if v.faults != "" {
		v.failf("polite clients: %s", v.faults)
	}
	if v.arrivals == 0 {
		v.failf("no newcomer came in")
	}
	if n := v.wronged(); n > v.held.readers {
		v.failf("%d attackers that read were cut or not answered: %v", n, v.army.Wronged)
	}
	if v.memory.faults > 0 {
		v.failf("%d faults of the node itself", v.memory.faults)
	}
	if n := v.cell.attack.most; n > 0 && v.memory.outstanding > 2*n {
		v.failf("%d requests outstanding of %d", v.memory.outstanding, n)
	}
	if v.left != "" {
		v.failf("left over: %s", v.left)
	}
	if !v.obeyed || v.shutdown > shutdownTimeout+shutdownGrace {
		v.failf("SIGTERM took %v, at most %v", ms(v.shutdown), shutdownTimeout+shutdownGrace)
	}
}

func ms(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
}

func mebi(n int64) string { return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) }

// columns are the table's.
var columns = []string{
	"cell", "RSS max MiB", "over", "probe p50/p99/max ms", "quiet p99", "newcomers, slowest s",
	"told", "lost", "SIGTERM s", "left", "",
}

// row is the verdict as the table has it.
func (v *verdict) row() []string {
	plain := func(d time.Duration) string {
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64)
	}
	outcome := "passed"
	if len(v.failures) > 0 {
		outcome = "FAILED"
	}
	shutdown := fmt.Sprintf("%.1f", v.shutdown.Seconds())
	if !v.obeyed {
		shutdown = "> " + shutdown
	}
	return []string{
		v.cell.String(), mebi(v.memory.most),
		fmt.Sprintf("%d/%d", v.memory.over, v.memory.samples),
		plain(v.attacked.p50) + " / " + plain(v.attacked.p99) + " / " + plain(v.attacked.max),
		plain(v.quiet.p99), fmt.Sprintf("%d, %.2f", v.arrivals, v.slowest.Seconds()),
		dash(v.told), dash(v.faults), shutdown, dash(v.left), outcome,
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// String is the verdict in some lines.
func (v *verdict) String() string {
	var b strings.Builder
	r := v.row()
	fmt.Fprintf(&b, "%-28s %s\n", r[0], r[len(r)-1])
	fmt.Fprintf(&b, "  %s: %s\n", v.cell.attack.item, v.cell.attack.what)
	fmt.Fprintf(&b, "  resident at most %s of %d MiB, over in %s samples; charged at most %s MiB\n",
		r[1], v.cell.mebibytes, r[2], mebi(int64(v.memory.charged)))
	fmt.Fprintf(&b, "  probes p50/p99/max %s ms (%d a loop, %d spoilt; quiet p99 %s, max %s; "+
		"judge late at most %s; stolen %d ms)\n", r[3], v.attacked.count, v.spoilt, r[4],
		ms(v.quiet.max), ms(v.late), v.memory.steal*10)
	if v.cell.pauses() {
		fmt.Fprintf(&b, "  probes within %v of a stop p50/p99/max %v / %v / %v\n", catchingUp,
			ms(v.stopped.p50), ms(v.stopped.p99), ms(v.stopped.max))
		slices.Sort(v.slow)
		if n := len(v.slow); n > 0 {
			fmt.Fprintf(&b, "  %d later ones took more than %v, sent up to %v after a stop, half "+
				"of them by %v\n", n, slowProbe, ms(v.slow[n-1]), ms(v.slow[n/2]))
		}
	}
	fmt.Fprintf(&b, "  load: %v\n", v.load)
	fmt.Fprintf(&b, "  polite: newcomers %s s; told: %s; lost: %s\n", r[5], r[6], r[7])
	fmt.Fprintf(&b, "  attackers: %d connections, %d refused, %d cut; SIGTERM %s s; left: %s\n",
		v.army.Dials, v.army.Refused, v.army.Lost, r[8], r[9])
	for _, f := range v.failures {
		fmt.Fprintf(&b, "  FAILED: %s\n", f)
	}
	return b.String()
}

// table writes all verdicts as markdown.
func table(verdicts []verdict) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(columns)
	line(strings.Split(strings.Repeat("---,", len(columns)-1)+"---", ","))
	for i := range verdicts {
		line(verdicts[i].row())
	}
	return b.String()
}

// stolen is the time that the machine's processors were not there, in hundredths of a second
// (proc_stat(5)).
func stolen() int64 {
	const column = 8
	b, _ := os.ReadFile("/proc/stat") // None: it is not known.
	line, _, _ := bytes.Cut(b, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) <= column {
		return 0
	}
	n, _ := strconv.ParseInt(fields[column], 10, 64) // The kernel writes numbers.
	return n
}
