package broker

import (
	"context"
	"errors"

	"mbserver/codec"
	"mbserver/server/event"
)

// Stories: what is remembered of one connection, for who asks (conn_events.go).

// ErrUnknownConnection says that there is no connection of that ID, nor one among the last that
// have left.
var ErrUnknownConnection = errors.New("no such connection is remembered")

// Story returns what is remembered of the connection with that ID, one that has left too. It waits
// for a loop, until ctx ends; the error is that of ctx, or ErrUnknownConnection. Any goroutine but
// a loop's.
func (b *Broker) Story(ctx context.Context, text string) (*event.Story, error) {
	id, ok := codec.ParseUUID([]byte(text))
	if !ok {
		return nil, ErrUnknownConnection
	}
	loops := b.loops
	if s := b.registry.find(id); s != nil {
		loops = b.loops[s.loop.index : s.loop.index+1]
	}
	told := make(chan *past, len(loops))
	for _, l := range loops {
		l.call(func(l *Loop) { told <- l.knownOf(id) })
	}
	for range loops {
		select {
		case p := <-told:
			if p != nil {
				return p.story(), nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, ErrUnknownConnection
}

// knownOf returns what the loop knows of the connection with that ID, nil when it has none such.
func (l *Loop) knownOf(id codec.UUID) *past {
	s := l.broker.registry.find(id)
	if s == nil || s.loop != l {
		return l.pasts.find(id)
	}
	c := l.conns[s.slot]
	if c == nil || c.gen != s.gen || c.marked(markLeft) {
		return l.pasts.find(id)
	}
	p := &past{id: id, about: c.about()}
	p.events, p.forgotten = c.copyEvents()
	return p
}

// story composes what is told of a connection. Any goroutine that has p.
func (p *past) story() *event.Story {
	a := &p.about
	s := &event.Story{
		ID: p.id.String(), Name: a.name, Identity: a.identity,
		Remote: a.peer.String(), Transport: a.transport.String(), Forgotten: p.forgotten,
	}
	once := event.Event{At: a.openedAt, Count: 1}
	once.Kind, once.Text = event.Opened, "over "+s.Transport+" from "+s.Remote
	s.Events = append(s.Events, once)
	if a.proved {
		once.Kind, once.Text = event.Identified, a.identity
		s.Events = append(s.Events, once)
	}
	s.Events = append(s.Events, event.Read(p.events)...)
	return s
}
