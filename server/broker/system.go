package broker

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"time"

	"mbserver/codec"
	"mbserver/ringbuf"
	"mbserver/server/metrics"
	"mbserver/server/system"
	"mbserver/topic"
)

// system takes a message on a system topic.
func (l *Loop) system(c *Conn, h *codec.Header, name, payload []byte) {
	l.caller = caller{c: c, h: *h}
	defer func() { l.caller = caller{} }()
	defer l.checkClock() // it may have taken long
	if err := l.systemTopics.Serve(&l.caller, h, name, payload); err != nil {
		l.fail(c, h, err.Code, err.Message, err.Details...)
	}
}

// caller implements system.Caller: the connection whose request on a system topic is being
// answered. Loop only.
type caller struct {
	c *Conn
	h codec.Header
}

// ID implements system.Caller.
func (k *caller) ID() codec.UUID { return k.c.id }

// Counts implements system.Caller.
func (k *caller) Counts() *metrics.Counts { return &k.c.loop.counts }

// Answer implements system.Caller.
func (k *caller) Answer(payload []byte) { k.c.loop.send(k.c, k.header(), payload, true) }

func (k *caller) header() []byte {
	return k.c.loop.responseHeader(k.h.Topic, k.h.Version, k.h.RequestID)
}

// reply is an answer that is composed elsewhere and later.
type reply struct {
	to     *service
	header []byte
}

func (k *caller) later() reply {
	k.c.owe()
	return reply{to: &k.c.service, header: bytes.Clone(k.header())}
}

// send delivers the answer to whoever asked, if it is still there. Any goroutine.
func (r reply) send(payload []byte) {
	r.to.postDirect(r.header, payload)
}

// InBackground implements system.Caller.
func (k *caller) InBackground(compose func() []byte) bool {
	l := k.c.loop
	// What the loop counted before this request is in the answer.
	l.published.Publish(l.time.sec(), &l.counts)
	r := k.later()
	if l.broker.background.run(func() { r.send(compose()) }) {
		return true
	}
	k.c.settle() // it is refused at once
	return false
}

// Register implements system.Caller.
func (k *caller) Register(p *system.Profile) {
	c, l := k.c, k.c.loop
	was := c.profile.Swap(p)
	limit := l.broker.perService
	if p.MaxConcurrent > 0 {
		limit = int32(min(p.MaxConcurrent, math.MaxInt32))
	}
	if c.capacity.Swap(limit) != limit {
		l.offer(&c.service)
	}
	l.counts[metrics.Registrations]++
	k.logRegistration(was, p)
}

// changesLogged is how many changes of registrations are logged in a second.
const changesLogged = 20

// logRegistration writes the line of a registration. A client can repeat one at will: what changes
// nothing is of no interest, and of what does only some are.
func (k *caller) logRegistration(was, is *system.Profile) {
	l, message := k.c.loop, "registered"
	attrs := []any{"serviceId", k.c.id.String(), "name", is.Name}
	switch {
	case was == nil:
		l.log.Info(message, attrs...)
	case was.Equal(is):
		l.log.Debug(message, attrs...)
	default:
		l.broker.Throttle.LogFew(changesLogged, l.log, slog.LevelInfo, message, attrs...)
	}
}

// Subscribe implements system.Caller.
func (k *caller) Subscribe(p topic.Pattern, kinds []topic.Kind, o topic.Options) {
	for _, kind := range kinds {
		k.c.subscribe(p, kind, o)
	}
	if l := k.c.loop; l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("subscribed", "serviceId", k.c.id.String(), "topic", p.String())
	}
}

// Unsubscribe implements system.Caller.
func (k *caller) Unsubscribe(p topic.Pattern, kinds []topic.Kind) {
	for _, kind := range kinds {
		k.c.unsubscribe(p, kind)
	}
}

// AnswerSubscriptions implements system.Caller.
func (k *caller) AnswerSubscriptions(
	of codec.UUID, compose func([]system.Subscription, bool) ([]byte, *system.Error),
) *system.Error {
	l, target := k.c.loop, &k.c.service
	if of != target.id {
		target = l.broker.registry.find(of)
	}
	if target == nil || target.loop == l {
		payload, err := compose(l.subscriptionsOf(target))
		if err == nil {
			k.Answer(payload)
		}
		return err
	}
	r := k.later()
	l.sendCall(target.loop, func(l *Loop) {
		payload, err := compose(l.subscriptionsOf(target))
		if err != nil {
			payload = codec.AppendError(nil, err.Code, err.Message, l.time.Unix, err.Details...)
		}
		r.send(payload)
	})
	return nil
}

// subscriptionsOf returns what a service of this loop is subscribed to; ok is false when it has
// left, or is nil.
func (l *Loop) subscriptionsOf(s *service) (subs []system.Subscription, ok bool) {
	if s == nil {
		return nil, false
	}
	c := l.connOf(s)
	if c == nil {
		return nil, false
	}
	for i := range c.subs {
		sub := &c.subs[i]
		subs = append(subs, system.Subscription{
			Pattern: sub.pattern, Kind: sub.kind, Priority: sub.options.Priority,
		})
	}
	return subs, true
}

// FilterLog implements system.Caller.
func (k *caller) FilterLog(f *system.LogFilter) {
	k.c.loop.broker.logStream.SetFilter(&k.c.service, f)
}

// Notify implements system.Caller.
func (k *caller) Notify(name string, compose func() []byte) {
	l := k.c.loop
	r := l.publishes.Lookup([]byte(name))
	if r.total == 0 {
		return
	}
	l.header = append(append(append(l.header[:0], "publish:"...), name...), ":1.0.0\n"...)
	l.fanOut(r, l.header, compose(), true, nil, ackRef{})
}

// Services implements system.Node.
func (b *Broker) Services(now time.Time) []system.Service {
	all := b.registry.all()
	services := make([]system.Service, len(all))
	for i, s := range all {
		services[i] = system.Service{
			ID:          s.id,
			Profile:     s.profile.Load(),
			ConnectedAt: s.connectedAt,
			LastSeen:    s.lastSeen.Load(),
			Transport:   s.transport.String(),
			Outstanding: int(s.outstanding.Load()),
			Queued:      int(s.queued.Load()),
			ErrorRate:   s.errors.Rate(now.Unix()),
		}
	}
	return services
}

// Walk implements system.Node.
func (b *Broker) Walk(f func(p topic.Pattern, k topic.Kind, subs func() []system.Subscriber)) {
	b.trie.Walk(func(p topic.Pattern, k topic.Kind, matches []topic.Match[*service]) bool {
		f(p, k, func() []system.Subscriber {
			subs := make([]system.Subscriber, len(matches))
			for i, m := range matches {
				subs[i] = system.Subscriber{ID: m.Sub.id, Priority: m.Options.Priority}
			}
			return subs
		})
		return true
	})
}

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
		var lost map[*service]int
		if in.full.Load() || in.waiting.Load()+int64(len(body.B)+itemCharge) > int64(b.inboxBytes) {
			lost = make(map[*service]int, len(g.targets))
			for _, s := range g.targets {
				lost[s]++
			}
		} else {
			it := p.add(itemLog)
			it.text, it.unaudited, it.group = true, true, g
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
