package broker

import (
	"bytes"
	"context"
	"log/slog"
	"math"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/metrics"
	"mbserver/server/permit"
	"mbserver/server/system"
	"mbserver/topic"
)

// system takes a message on a system topic.
func (l *Loop) system(c *Conn, h *codec.Header, name, payload []byte) {
	l.caller = caller{c: c, h: *h}
	defer func() { l.caller = caller{} }()
	defer l.checkClock() // it may have taken long
	err := l.systemTopics.Serve(&l.caller, h, name, payload)
	if err == nil {
		return
	}
	if isHeartbeat(h, name) { // it passed the limits because it looked like one
		if over, ok := l.admitMalformed(c); !ok {
			l.limited(c, h, over)
			return
		}
	}
	l.fail(c, h, err.Code, err.Message, err.Details...)
}

// caller implements system.Caller: the connection whose request on a system topic is being
// answered. Loop only.
type caller struct {
	c *Conn
	h codec.Header

	version uint64 // of the node's interest that holds what Subscribe has added; 0: nobody's
}

// ID implements system.Caller.
func (k *caller) ID() codec.UUID { return k.c.id }

// Counts implements system.Caller.
func (k *caller) Counts() *metrics.Counts { return &k.c.loop.counts }

// Holds implements system.Caller.
func (k *caller) Holds(w permit.Words) bool {
	s := k.c.standing
	return s == nil || s.rules.Holds(w)
}

// Answer implements system.Caller.
func (k *caller) Answer(payload []byte) { k.c.loop.send(k.c, k.header(), payload, true) }

func (k *caller) header() []byte {
	return k.c.loop.responseHeader(k.h.Topic, k.h.Version, k.h.RequestID)
}

// busy is the answer when too much waits that is done beside the loops.
var busy = &system.Error{Code: codec.ServiceUnavailable, Message: "too many such requests wait",
	Details: []codec.Detail{codec.TextDetail("reason", "busy")}}

// publishCounts makes what the loop has counted before a request visible in its answer.
func (l *Loop) publishCounts() { l.published.Publish(l.time.sec(), &l.counts) }

// AnswerShared implements system.Caller.
func (k *caller) AnswerShared(s system.Snapshot) *system.Error {
	l := k.c.loop
	l.publishCounts()
	k.c.owe()
	q := question{&k.c.service, bytes.Clone(k.header()), l.broker.changesOf(s)}
	return k.owed(l.askFor(snapshotKey{kind: s}, q, nil))
}

// owed passes on what came of a question: one that is refused at once is owed nothing.
func (k *caller) owed(err *system.Error) *system.Error {
	if err != nil {
		k.c.settle()
	}
	return err
}

// askFor answers a connection of this loop with a snapshot, now or later.
func (l *Loop) askFor(key snapshotKey, q question, subs []subscription) *system.Error {
	body, ok := l.broker.background.ask(key, q, subs)
	if !ok {
		return busy
	}
	if body != nil {
		if c := l.askerOf(q.to); c != nil {
			l.sendAnswer(c, q.header, body)
		}
		body.Release()
	}
	return nil
}

// InBackground implements system.Caller.
func (k *caller) InBackground(work func() func(system.Caller) *system.Error) *system.Error {
	l := k.c.loop
	l.publishCounts()
	if !l.broker.background.run(job{&k.c.service, work, k.afterwards()}) {
		return busy
	}
	k.c.owe()
	return nil
}

// finishJob answers a request whose work beside the loops is done.
func (l *Loop) finishJob(
	c *Conn, h *codec.Header, finish func(system.Caller) *system.Error,
) {
	l.caller = caller{c: c, h: *h}
	defer func() { l.caller = caller{} }()
	if err := finish(&l.caller); err != nil {
		l.fail(c, h, err.Code, err.Message, err.Details...)
	}
	c.settle()
}

// Register implements system.Caller.
func (k *caller) Register(p *system.Profile) *system.Error {
	c, l := k.c, k.c.loop
	if !c.mayKeep(p.Charge() - c.profile().Charge()) {
		return nothingMore
	}
	was := c.describe().profile.Swap(p)
	c.keep(p.Charge() - was.Charge())
	l.broker.registry.changes.Add(1)
	limit := l.broker.perService
	if p.MaxConcurrent > 0 {
		limit = int32(min(p.MaxConcurrent, math.MaxInt32))
	}
	if c.capacity.Swap(limit) != limit {
		l.offer(&c.service)
	}
	c.describeAbroad()
	l.counts[metrics.Registrations]++
	c.noteProfile(was, p)
	k.logRegistration(was, p)
	return nil
}

// changesLogged is how many changes of registrations are logged in a second.
const changesLogged = 20

// logRegistration writes the line of a registration. A client can repeat one at will: what changes
// nothing is of no interest, and of what does only some are.
func (k *caller) logRegistration(was, is *system.Profile) {
	const message = "registered"
	log := k.c.loop.broker.modules.registry
	same := was != nil && was.Equal(is)
	if same && !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs := []any{"serviceId", k.c.id.String(), "name", is.Name}
	switch {
	case was == nil:
		log.Info(message+": "+is.Name, attrs...)
	case same:
		log.Debug(message+": "+is.Name, attrs...)
	default:
		k.c.loop.broker.Throttle.LogFew(
			changesLogged, log, slog.LevelInfo, message, is.Name, attrs...)
	}
}

// Subscribe implements system.Caller.
func (k *caller) Subscribe(
	p topic.Pattern, kinds []topic.Kind, o topic.Options,
) *system.Error {
	if s := k.c.standing; s != nil {
		for _, kind := range kinds {
			if !system.MaySubscribe(s.rules, verbOf(kind), p.String(), p.System()) {
				k.c.loop.noteForbidden()
				return system.Forbidden(verbOf(kind).String(), p.String())
			}
		}
	}
	missing := k.c.missing(p, kinds)
	if len(k.c.subs.all())+missing > k.c.loop.broker.subsMax {
		return &system.Error{Code: codec.ServiceUnavailable,
			Message: "this connection has as many subscriptions as it may",
			Details: []codec.Detail{
				codec.TextDetail("reason", "subscription_limit"),
				codec.NumberDetail("limit", k.c.loop.broker.subsMax),
			}}
	}
	if s := (subscription{pattern: p}); !k.c.mayKeep(missing * s.charge()) {
		return nothingMore
	}
	if err := k.subscribe(p, kinds, o); err != nil {
		return err
	}
	k.logSubscription("subscribed", p, kinds)
	return nil
}

// logSubscription writes the line of subscriptions that were made or ended.
func (k *caller) logSubscription(what string, p topic.Pattern, kinds []topic.Kind) {
	log := k.c.loop.broker.modules.subscription
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	for _, kind := range kinds {
		log.Debug(what+": "+k.c.name()+", "+kind.String()+" "+p.String(),
			"serviceId", k.c.id.String(), "action", kind.String(), "topic", p.String())
	}
}

// Unsubscribe implements system.Caller.
func (k *caller) Unsubscribe(p topic.Pattern, kinds []topic.Kind) {
	for _, kind := range kinds {
		k.c.endSubscription(p, kind)
	}
	k.logSubscription("unsubscribed", p, kinds)
}

// AnswerSubscriptions implements system.Caller.
func (k *caller) AnswerSubscriptions(of codec.UUID) *system.Error {
	l, target := k.c.loop, &k.c.service
	if of != target.id {
		target = l.broker.registry.find(of)
	}
	far := target == nil
	if far {
		if target = l.broker.elsewhere(of); target == nil {
			return system.UnknownService(of, codec.UUID{})
		}
	}
	q := question{to: &k.c.service, header: bytes.Clone(k.header())}
	k.c.owe()
	switch {
	case far:
		q.version = target.far().changes.Load()
		return k.owed(l.askSubscriptions(target, q, nil))
	case target.loop == l:
		return k.owed(l.answerSubscriptions(target, q))
	}
	l.sendCall(target.loop, func(l *Loop) {
		if err := l.answerSubscriptions(target, q); err != nil {
			l.sendTo(q.to, q.header, codec.AppendError(nil, err.Code, err.Message, l.time.Unix,
				err.Details...), true, answerFailure|answerOwed)
		}
	})
	return nil
}

// answerSubscriptions answers q, of any loop, with what a service of this one is subscribed to.
func (l *Loop) answerSubscriptions(of *service, q question) *system.Error {
	c := l.connOf(of)
	if c == nil {
		return l.broker.unknown(of.id)
	}
	subs, changes := c.subs.lend()
	q.version = changes
	return l.askSubscriptions(of, q, subs)
}

func (l *Loop) askSubscriptions(of *service, q question, subs []subscription) *system.Error {
	body, ok := l.broker.background.ask(
		snapshotKey{system.SubscriptionsSnapshot, of}, q, subs)
	switch {
	case !ok:
		return busy
	case body != nil:
		q.answer(nil, body)
		body.Release()
	}
	return nil
}

// BeginFilter implements system.Caller.
func (k *caller) BeginFilter() uint16 {
	s := k.c.remembered()
	s.filters++
	return s.filters
}

// FilterLog implements system.Caller.
func (k *caller) FilterLog(f *system.LogFilter, change uint16) *system.Error {
	c := k.c
	// One whose peer has ended its stream since it asked gets the answer, and nothing else.
	if c.state != stateOpen || change != c.subs.filters {
		return nil
	}
	if f != nil && !k.Holds(permit.Log) { // it was when the request came
		return system.Forbidden(permit.Request.String(), string(k.h.Topic))
	}
	stream := &c.loop.broker.logStream
	more := f.Charge() - stream.Filter(&c.service).Charge()
	if !c.mayKeep(more) {
		return nothingMore
	}
	stream.SetFilter(&c.service, f)
	c.keep(more)
	return nil
}

// Notify implements system.Caller.
func (k *caller) Notify(name string, compose func() []byte) {
	l := k.c.loop
	r := l.routeOf([]byte(name))
	if r.total == 0 {
		return
	}
	l.header = append(append(append(l.header[:0], "publish:"...), name...), ":1.0.0\n"...)
	l.fanOut(r, l.header, compose(), true, nil, ackRef{})
}

// aboutLog has whoever has lost the word for it get no line that was on its way.
var aboutLog = &rare{about: system.LogTopic}

// sendLog hands a line of the log to services of any loop: one parcel for each loop. Where there is
// no room, the line is lost to them, which is counted and told. The log tap's goroutine only.
func (b *Broker) sendLog(to []*service, body *ringbuf.Shared) {
	var groups []remoteGroup
	for _, s := range to {
		groups = addTarget(groups, s, deliverDrop)
	}
	for i := range groups {
		g := &groups[i]
		in, p := &g.loop.inbox, b.spares.take()
		var lost *losses
		if in.full.Load() || b.filled(in)+int64(len(body.B)+itemCharge) > int64(b.inboxBytes) {
			lost = new(losses)
			for _, s := range g.targets {
				lost.add(s, 1)
			}
		} else {
			it := p.add(itemLog)
			it.text, it.group, it.rare = true, g, aboutLog
			p.copy(it, body.B, nil)
		}
		g.loop.accept(p, lost, nil, false)
	}
}

// receiveLog delivers a line to this loop's targets. A line that is lost is counted and told to its
// reader like any other message, but makes no line of its own.
func (l *Loop) receiveLog(p *parcel, it *item) {
	l.quiet = true
	defer func() { l.quiet = false }()
	l.receivePublish(p, it)
}
