package broker

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"mbserver/server/trouble"
)

// Troubles: what is wrong now, for who asks.
//
// Purpose. Nobody has to watch a node to know since when something is wrong, and a node that nobody
// asks pays for the answer only where something does go wrong.
//
// Outline. Whoever meets a trouble notes it in a spell (trouble.Spell): a loop in one of its own
// (Loop.ills), a connection in one of its (conn_events.go), the door and what works beside the
// loops in those of the node (ills). Troubles makes a report of what stands, beside the loops: it
// reads spells and numbers that are published anyway, and looks at the services only if some
// connection has a spell. One report serves all who ask within reportShare.
//
// Cost. A few stores where something goes wrong. A question takes a microsecond, and where a
// connection has a spell some 10 ns for each connection, 400 for each with one, four times a second
// at the most.

// reportShare is how long one report serves, in ms.
const reportShare = 250

// ills are what is noted of the node at large. Any goroutine.
type ills struct {
	wrong  trouble.Spell // credentials
	faults trouble.Spell // beside the loops, and at the door
	ailing atomic.Int64  // connections that have spells
	near   atomic.Int64  // loop ms: since when memory.limit is near; 0: it is not
	full   atomic.Int64  // Unix ms: since when nearly all places are taken; 0: they are not

	mu sync.Mutex
	// Guarded by mu.
	made     int64 // loop ms at which report was; 0: there is none
	report   trouble.Report
	logLoses trouble.Spell // of the counts of the log, as they were when somebody asked
	logLost  uint64
}

// NowMs is the loops' clock. Any goroutine.
func (b *Broker) NowMs() int64 { return b.loops[0].driver.Now().Ms }

// FaultAside notes a panic that was not on a connection of a loop. Any goroutine.
func (b *Broker) FaultAside() { b.ills.faults.Note(b.NowMs()) }

// ill notes a trouble that the loop meets. Loop only.
func (l *Loop) ill(k trouble.Kind) { l.ills[k].Note(l.time.Ms) }

// noteCharge notes whether memory.limit is near, where total is charged. Any goroutine.
func (b *Broker) noteCharge(total, now int64) {
	switch since := b.ills.near.Load(); {
	case total <= b.budget.near && since != 0:
		b.ills.near.Store(0)
	case total > b.budget.near && since == 0:
		b.ills.near.CompareAndSwap(0, max(now, 1))
	}
}

// nearPlaces is how many in a hundred of the connections that may be are nearly all.
const nearPlaces = 90

// noteOpen notes whether nearly all places are taken, when so many connections are there. Any
// goroutine.
func (b *Broker) noteOpen(open int64) {
	switch since, near := b.ills.full.Load(), open*100 > b.places.Load()*nearPlaces; {
	case near && since == 0:
		b.ills.full.CompareAndSwap(0, time.Now().UnixMilli())
	case !near && since != 0:
		b.ills.full.Store(0)
	}
}

// Troubles returns what is wrong with the node. The report is shared: it is not to be changed. Any
// goroutine but a loop's.
func (b *Broker) Troubles() trouble.Report {
	b.ills.mu.Lock()
	defer b.ills.mu.Unlock()
	now := b.loops[0].driver.Now()
	if b.ills.made == 0 || now.Ms-b.ills.made >= reportShare {
		f := &finder{broker: b, now: now, report: trouble.Report{At: now.Unix}}
		f.find()
		f.report.Sort()
		b.ills.made, b.ills.report = max(now.Ms, 1), f.report
	}
	return b.ills.report
}

// finder makes a report.
type finder struct {
	broker *Broker
	now    Clock
	report trouble.Report
}

// add adds a trouble of the node that has lasted so long.
func (f *finder) add(k trouble.Kind, cause string, t trouble.Times, why string, args ...any) {
	f.addOf(trouble.Subject{}, k, cause, t, fmt.Sprintf(why, args...))
}

func (f *finder) addOf(
	of trouble.Subject, k trouble.Kind, cause string, t trouble.Times, why string,
) {
	f.report.Add(trouble.Trouble{
		Kind: k, Severity: k.Severity(), Cause: cause, Subject: of, Why: why,
		Since: f.unix(t.Since), Seen: f.unix(t.Last),
	})
}

// unix is a time of the loops' clock on the wall's.
func (f *finder) unix(ms int64) int64 { return f.now.Unix - (f.now.Ms - ms) }

// since is what has gone on since some Unix ms, and does.
func (f *finder) since(unix int64) trouble.Times {
	return trouble.Times{Since: unix - f.now.Unix + f.now.Ms, Last: f.now.Ms, On: true}
}

func (f *finder) find() {
	f.findMemory()
	f.findDrain()
	f.findCertificate()
	f.findLoops()
	f.findTopics()
	f.findDoor()
	f.findLockouts()
	f.findLog()
	f.findCluster()
	if f.broker.ills.ailing.Load() > 0 {
		f.findConnections()
	}
}

func (f *finder) findMemory() {
	b := f.broker
	total := b.charged()
	b.noteCharge(total, f.now.Ms)
	if since := b.ills.near.Load(); since != 0 {
		newcomers := ""
		if b.crowded() {
			newcomers = fmt.Sprintf("; newcomers are refused beyond %d %%", budgetFull)
		}
		f.add(trouble.Memory, "", trouble.Times{Since: since, Last: f.now.Ms},
			"clients make the node hold %d bytes, %d %% of memory.limit (%d): beyond %d %% the "+
				"largest laggards are cut%s",
			total, total*100/b.budget.limit, b.budget.limit, budgetHigh, newcomers)
	}
	if since := b.ills.full.Load(); since != 0 {
		f.add(trouble.ConnectionsNear, "", f.since(since), "%d of %d connections stand",
			b.connections.Load(), b.places.Load())
	}
}

func (f *finder) findDrain() {
	b := f.broker
	switch state(b.state.Load()) {
	case unready, draining:
		f.add(trouble.Draining, "", f.since(b.unreadyAt.Load()),
			"the node is not ready: balancers send it nobody; %d connections stand, %d of them "+
				"were told to go", b.connections.Load(), b.going.Load())
	}
}

// ExpiryWarning is how long before its end a certificate is spoken of.
const ExpiryWarning = 14 * 24 * time.Hour

func (f *finder) findCertificate() {
	at := f.broker.TLS.Read().Expiry * 1000
	if at == 0 {
		return
	}
	t := f.since(at - ExpiryWarning.Milliseconds())
	if t.Since > f.now.Ms {
		return
	}
	left := time.Duration(at-f.now.Unix) * time.Millisecond
	if left > 0 {
		f.add(trouble.Certificate, "", t, "the certificate of ssl.cert expires in %d hours",
			left/time.Hour)
		return
	}
	f.add(trouble.Certificate, "expired", f.since(at),
		"the certificate of ssl.cert has expired: clients refuse it")
	f.report.Troubles[len(f.report.Troubles)-1].Severity = trouble.Critical
}

// loopWords say what a loop's spells count.
var loopWords = map[trouble.Kind]string{
	trouble.Fault:             "%d faults of the node itself: each has closed one connection",
	trouble.ConnectionsCut:    "%d connections were cut because memory.limit was near",
	trouble.TurnsLong:         "%d turns of a loop took more than 20 ms: others waited so long",
	trouble.RequestsTimedOut:  "%d requests had no answer within their time",
	trouble.RequestsEvicted:   "%d requests gave way to newer ones: too many are outstanding",
	trouble.RequestsUnserved:  "%d requests were on topics that no service is subscribed to",
	trouble.MessagesForbidden: "%d messages and subscriptions were not permitted",
}

func (f *finder) findLoops() {
	b := f.broker
	for k := range trouble.Kinds {
		words := loopWords[k]
		if words == "" {
			continue
		}
		var t trouble.Times
		for _, l := range b.loops {
			t = t.Join(onlyNow(l.ills[k].Last(f.now.Ms), f.now.Ms))
		}
		if k == trouble.Fault {
			t = t.Join(onlyNow(b.ills.faults.Last(f.now.Ms), f.now.Ms))
		}
		if t.Since != 0 {
			f.add(k, "", t, words, t.Count)
		}
	}
	for _, l := range b.loops {
		if began := l.pulse.began.Load(); began != 0 && f.now.Ns-began > longTurn {
			ms := (f.now.Ns - began) / int64(time.Millisecond)
			k := trouble.TurnsLong
			if ms*int64(time.Millisecond) > stuckTime {
				k = trouble.Stuck
			}
			f.add(k, "", trouble.Times{Since: f.now.Ms - ms, Last: f.now.Ms},
				"loop %d is in a turn that has taken %d ms by now", l.index, ms)
		}
	}
}

// longTurn is, in ns, how long a turn that still runs must have taken to be spoken of.
const longTurn = 100 * int64(time.Millisecond)

// onlyNow is t if that stands, else nothing.
func onlyNow(t trouble.Times, now int64) trouble.Times {
	if t.Stands(now) {
		return t
	}
	return trouble.Times{}
}

func (f *finder) findDoor() {
	b := f.broker
	b.Refusals.Each(f.now.Ms, func(cause string, t trouble.Times) {
		f.add(trouble.Refused, cause, t, "%d newcomers were refused: %s", t.Count, cause)
	})
	b.Failures.Each(f.now.Ms, func(cause string, t trouble.Times) {
		f.add(trouble.HandshakesFailed, cause, t, "%d handshakes failed: %s", t.Count, cause)
	})
	if t := b.ills.wrong.Last(f.now.Ms); t.Stands(f.now.Ms) {
		f.add(trouble.WrongCredentials, "", t, "%d wrong credentials came", t.Count)
	}
}

func (f *finder) findLockouts() {
	d := &f.broker.Desk
	if d.lockout == nil {
		return
	}
	locked, count := d.lockout.Locked(d.now(), trouble.Most)
	for _, l := range locked {
		t := trouble.Times{Since: f.now.Ms - l.For.Milliseconds(), Last: f.now.Ms}
		f.addOf(trouble.Subject{Remote: l.Addr.String()}, trouble.Lockout, "", t,
			fmt.Sprintf("too many wrong credentials came from an address: it is not heard for "+
				"%d s more", l.Left/time.Second))
	}
	f.report.Counts[trouble.Lockout] = count
}

// findLog compares the counts of the log with those of the last question: a loss is known only to
// who asks again.
func (f *finder) findLog() {
	b := f.broker
	if b.logs == nil {
		return
	}
	lost := b.logs.Dropped() + b.logs.Lost()
	if b.ills.made != 0 && f.now.Ms-b.ills.made < logWindow && lost > b.ills.logLost {
		b.ills.logLoses.Note(f.now.Ms)
	}
	b.ills.logLost = lost
	if t := b.ills.logLoses.Last(f.now.Ms); t.Stands(f.now.Ms) {
		f.add(trouble.LogLoses, "", t, "%d lines of the log were lost since the start", lost)
	}
}

// logWindow is, in ms, within which two questions are compared.
const logWindow = 10_000
