package broker

import (
	"fmt"
	"slices"

	"mbserver/server/event"
	"mbserver/server/trouble"
)

// ailment is a trouble of a connection for which no words have been found yet.
type ailment struct {
	of     *service
	kind   trouble.Kind
	detail uint8
	limit  uint32
	topics string // the pattern that has the limit
	times  trouble.Times
	lost   int64 // messages
}

// findConnections looks for the troubles of connections: of each kind the oldest are told, of the
// others only how many there are.
func (f *finder) findConnections() {
	var oldest [trouble.Kinds][]ailment
	f.broker.registry.each(func(s *service) {
		p := s.particulars.Load()
		if p == nil || p.spells.Load() == nil {
			return
		}
		f.ailmentsOf(s, p, func(a ailment) {
			f.report.Counts[a.kind]++
			list := oldest[a.kind]
			at, _ := slices.BinarySearchFunc(list, a.times.Since, func(b ailment, at int64) int {
				return int(b.times.Since - at)
			})
			if at == trouble.Most {
				return
			}
			if len(list) == trouble.Most {
				list = list[:trouble.Most-1]
			}
			oldest[a.kind] = slices.Insert(list, at, a)
		})
	})
	for k, list := range oldest {
		count := f.report.Counts[k]
		for i := range list {
			f.tell(&list[i])
		}
		f.report.Counts[k] = count
	}
}

// ailmentsOf calls found for what is wrong with s now.
func (f *finder) ailmentsOf(s *service, p *particulars, found func(ailment)) {
	now := f.now.Ms
	var slow ailment
	for sp := p.spells.Load(); sp != nil; sp = sp.next {
		t := sp.times(p, now)
		if !t.Stands(now) {
			continue
		}
		a := ailment{of: s, detail: sp.detail, limit: sp.limit.Load(), times: t}
		switch {
		case sp.kind == event.Limited:
			a.kind = trouble.LimitedClient
			if pattern := sp.topics.Load(); pattern != nil {
				a.topics = pattern.String()
			}
		case sp.kind == event.Lost:
			slow.lost, slow.times = t.Count, slow.times.Join(t)
			continue
		case !t.Lasts():
			continue
		case sp.kind == event.Behind:
			slow.times = slow.times.Join(t)
			continue
		case sp.kind == event.Paused && sp.detail == event.Waits:
			a.kind = trouble.PausedPublisher
		case sp.kind == event.Paused:
			a.kind = trouble.UnreadConnection
		case sp.kind == event.Saturated:
			a.kind = trouble.SaturatedService
		default:
			continue
		}
		found(a)
	}
	if slow.times.Since != 0 {
		slow.of, slow.kind = s, trouble.SlowSubscriber
		found(slow)
	}
}

// tell finds the words for an ailment.
func (f *finder) tell(a *ailment) {
	b, s := f.broker, a.of
	about := s.about()
	subject := trouble.Subject{
		ID: s.id.String(), Name: about.name, Identity: about.identity, Remote: s.peer.String(),
	}
	cause, why := "", ""
	switch a.kind {
	case trouble.SlowSubscriber:
		p := s.particulars.Load()
		why = fmt.Sprintf("%d of %d bytes and %d of %d messages wait in its ring",
			p.bytes.Load(), b.limits.Bytes, p.messages.Load(), b.limits.Messages)
		if a.lost > 0 {
			why += fmt.Sprintf("; %d messages for it were lost since", a.lost)
		}
	case trouble.PausedPublisher:
		why = fmt.Sprintf("not read, %d times since: %s", a.times.Count, event.Pause(a.detail))
	case trouble.UnreadConnection:
		cause = [...]string{event.Filling: "inbox", event.Owing: "answers"}[a.detail]
		why = fmt.Sprintf("not read, %d times since: %s", a.times.Count, event.Pause(a.detail))
	case trouble.SaturatedService:
		why = fmt.Sprintf("requests wait for it (%d on the node): %s",
			b.queued.Load(), s.fullness())
	case trouble.LimitedClient:
		cause = event.Scopes[a.detail]
		why = fmt.Sprintf("%d messages were over the limit of %d a second (%s)",
			a.times.Count, a.limit, event.ScopeWords(a.detail, a.topics))
	}
	f.addOf(subject, a.kind, cause, a.times, why)
}

// fullness says why s takes no more requests. Any goroutine.
func (s *service) fullness() string {
	n, capacity := s.outstanding.Load(), s.capacity.Load()
	switch {
	case s.marked(markStalled):
		return fmt.Sprintf("its socket takes nothing, %d requests are outstanding there", n)
	case capacity == 0:
		return fmt.Sprintf("%d requests are outstanding there", n)
	}
	return fmt.Sprintf("%d of the %d requests that it takes at a time are outstanding", n, capacity)
}
