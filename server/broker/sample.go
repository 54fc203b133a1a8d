package broker

import (
	"time"

	"mbserver/server/metrics"
)

// Sample gathers the numbers, without waiting for any loop: what a loop counted in a turn that
// still runs comes later. Any goroutine.
func (b *Broker) Sample(now time.Time) *metrics.Sample {
	s := b.Glance(now)
	s.Machine = b.machine.Read(now)
	return s
}

// Glance is Sample without the numbers of the machine and the process: it takes microseconds, and
// asks the system nothing. Any goroutine.
func (b *Broker) Glance(now time.Time) *metrics.Sample {
	sec := now.Unix()
	s := &metrics.Sample{
		At:           now,
		Connected:    b.Arrivals.Connected.Read(sec),
		Disconnected: b.Arrivals.Disconnected.Read(sec),
		Failed:       b.Arrivals.Failed.Read(sec),
		Rejected:     b.Arrivals.Rejected.Read(sec),

		Outstanding:   b.outstanding.Load(),
		Queued:        b.queued.Load(),
		Charged:       b.charged(),
		Paused:        b.paused.Load(),
		Owing:         b.unread.owing.Load(),
		Filling:       b.unread.filling.Load(),
		Stalled:       b.unread.cut.Load(),
		Draining:      b.ending(),
		Going:         b.going.Load(),
		Cut:           b.cut.Load(),
		Shed:          b.budget.shed.Load(),
		Watches:       b.watches.count(),
		Snapshots:     b.background.built.Load(),
		Arriving:      b.Visitors.Load(),
		Services:      b.registry.count(),
		Subscriptions: b.subscriptions(),
		TLS:           b.TLS.Read(),

		AuthFailures: b.Desk.failed.Load(),
		Refused:      b.Arrivals.Refused.Read(),
		Loops:        len(b.loops),
		Limits: metrics.Limits{
			Connections: b.places.Load(), Outstanding: b.maxOutstanding,
			Memory: b.budget.limit,
		},
		Admission: b.Admission.Read(),
		Cluster:   b.Cluster(now),
	}
	if b.logs != nil {
		s.LogDropped, s.LogLost, s.LogUnread = b.logs.Dropped(), b.logs.Lost(), b.logs.TapDropped()
	}
	s.Totals[metrics.Panics] += b.background.faults.Load()
	s.Totals[metrics.AnswersUnmatched] += b.unmatched.Load()
	for _, l := range b.loops {
		s.Active += l.load.Load()
		s.RouteTargets += l.routes.targets.Load()
		l.published.AddTotals(&s.Totals)
		l.published.AddRates(sec, &s.Rates)
		l.published.Times.AddTo(&s.Times)
		l.deflate.AddTo(&s.Deflate)
	}
	return s
}

// Works gives a token when a loop has worked since the last was taken, within a second of that. Any
// goroutine; one at a time.
func (b *Broker) Works() <-chan struct{} { return b.works }
