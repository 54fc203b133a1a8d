package broker

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"mbserver/codec"
	"mbserver/server/event"
	"mbserver/server/permit"
	"mbserver/server/system"
	"mbserver/topic"
)

// What operators do to connections (protocol §8).
//
// Purpose. Who misbehaves can be thrown out, kept quiet or kept from getting something, without
// harm to anybody else, and it is told why.
//
// Outline. Somebody asks: a client with a request on a system topic (caller.Operate), or the admin
// listener (Broker.Operate). The loop of the connection does it (Loop.operate), writes a line of
// the log, and says so:
//
//	kick         dismiss: what was lost is told, then FORBIDDEN, kicked; it leaves at once
//	mute         conn_mute.go
//	unsubscribe  each subscription ends as one that is not permitted any more does, and publishes
//	             are taken out of the ring that only it had put there
//
// Invariants. When it is told that it was done, it holds everywhere: who was kicked is in no list,
// and nothing is delivered any more that was routed by a subscription that has ended. For that each
// loop has sent a word, behind all that it had routed before.

// told hears, on whatever loop, what came of an order; ended counts subscriptions.
type told func(l *Loop, ended int, err *system.Error)

// Operate does what somebody asks, who may, and returns when it is done; ended counts the
// subscriptions that it ended. An error says why nothing was, or that ctx ended first, when it is
// still done. Any goroutine but a loop's.
func (b *Broker) Operate(
	ctx context.Context, by system.Actor, o *system.Order,
) (ended int, err *system.Error) {
	of := b.registry.find(o.Of)
	if of == nil {
		return 0, b.unknown(o.Of)
	}
	type outcome struct {
		ended int
		err   *system.Error
	}
	done := make(chan outcome, 1)
	of.loop.call(func(l *Loop) {
		l.operate(of, by, o, func(_ *Loop, ended int, err *system.Error) {
			done <- outcome{ended, err}
		})
	})
	select {
	case is := <-done:
		return is.ended, is.err
	case <-ctx.Done():
		return 0, &system.Error{Code: codec.Timeout, Message: "the node is busy: it will be done"}
	}
}

// MayOperate implements system.Caller. Where nobody is asked who they are, whoever connects may do
// everything, but act on others only from the node's own machine, if the configuration says so: as
// on the admin listener.
func (k *caller) MayOperate() *system.Error {
	s := k.c.standing
	switch {
	case s != nil && s.rules != nil:
		if s.rules.Holds(permit.Admin) {
			return nil
		}
	case s != nil && s.grant != nil,
		k.c.loop.broker.operators && k.c.peer.addr().IsLoopback():
		return nil
	}
	err := system.Forbidden(k.h.Action.String(), string(topic.Lower(nil, k.h.Topic)))
	if s == nil || s.rules == nil {
		err.Message = "without credentials this is permitted on the node's own machine only, " +
			"with admin.operator"
		err.Details = append(err.Details, codec.TextDetail("key", "admin.operator"))
	}
	return err
}

// Actor implements system.Caller.
func (k *caller) Actor() system.Actor {
	by := system.Actor{Remote: k.c.peer.String(), ServiceID: k.c.id}
	if s := k.c.standing; s != nil && s.grant != nil {
		by.Identity = s.grant.Identity
	}
	return by
}

// Operate implements system.Caller.
func (k *caller) Operate(o *system.Order) *system.Error {
	l := k.c.loop
	of := l.broker.registry.find(o.Of)
	if of == nil {
		return l.broker.unknown(o.Of)
	}
	k.c.owe()
	to, header, by := &k.c.service, bytes.Clone(k.header()), k.Actor()
	l.sendCall(of.loop, func(l *Loop) {
		l.operate(of, by, o, func(l *Loop, ended int, err *system.Error) {
			if err != nil {
				l.sendTo(to, header, codec.AppendError(nil, err.Code, err.Message, l.time.Unix,
					err.Details...), true, answerFailure|answerOwed)
				return
			}
			l.sendTo(to, header, system.AppendDone(nil, o, ended), true, answerOwed)
		})
	})
	return nil
}

// operate does what somebody asks to a connection of this loop.
func (l *Loop) operate(of *service, by system.Actor, o *system.Order, done told) {
	c := l.connOf(of)
	if c == nil {
		done(l, 0, l.broker.unknown(of.id))
		return
	}
	switch o.Deed {
	case system.Kick:
		if of.id == by.ServiceID {
			done(l, 0, nil) // nothing reaches it afterwards
			done = func(*Loop, int, *system.Error) {}
		}
		l.logOrder(by, "kicked", of, "reason", o.Reason)
		c.kick(o.Reason)
		done(l, 0, nil)
	case system.Mute:
		what := "muted"
		if o.ForMs == 0 {
			what = "unmuted"
		}
		l.logOrder(by, what, of, "durationMs", o.ForMs)
		c.muteFor(o.ForMs)
		done(l, 0, nil)
	case system.Unsubscribe:
		c.unsubscribeFor(o, func(l *Loop, ended, messages int) {
			l.logOrder(by, "unsubscribed", of, "topic", o.Pattern.String(),
				"subscriptions", ended, "messages", messages)
			done(l, ended, nil)
		})
	}
}

// kick tells c that it is thrown out, in words if there are any, and closes it. It leaves the node
// now: not in the middle of a fan-out.
func (c *Conn) kick(words string) {
	message := "an operator has closed this connection"
	if words != "" {
		message += ": " + words
	}
	c.dismiss(codec.Forbidden, message, "kicked")
	c.leave()
}

// unsubscribeFor ends subscriptions of c, and takes out of its ring what only these have put there;
// once more when every loop has sent all that it had routed by them. Then done hears how many
// subscriptions and messages that were.
func (c *Conn) unsubscribeFor(o *system.Order, done func(l *Loop, ended, messages int)) {
	l, of := c.loop, &c.service
	ended, messages := 0, 0
	for _, k := range o.Kinds {
		if c.subs.find(o.Pattern, k) >= 0 {
			if !simfaultBuild || !strikes(simUnmadeOrder) {
				c.unsubscribe(o.Pattern, k)
			}
			c.tellRevoked(k, o.Pattern.String(), event.Operator)
			ended++
		}
	}
	if o.Pattern.String() == system.LogTopic && slices.Contains(o.Kinds, topic.Publish) &&
		c.dropFilter(event.Operator) {
		ended++
	}
	if ended == 0 || simfaultBuild && strikes(simLeftBehind) {
		done(l, ended, 0)
		return
	}
	messages += c.takeBack(o.Pattern)
	left := len(l.broker.loops)
	for _, other := range l.broker.loops {
		l.sendCall(other, func(other *Loop) {
			other.sendCall(l, func(l *Loop) {
				if left--; left > 0 {
					return
				}
				if c := l.connOf(of); c != nil {
					l.guard(c, func() { messages += c.takeBack(o.Pattern) })
				}
				done(l, ended, messages)
			})
		})
	}
}

// takeBack takes publishes out of c's ring that an ended subscription has put there, and no other
// would have.
func (c *Conn) takeBack(p topic.Pattern) (count int) {
	return c.takeOut(func(begin []byte) bool {
		name, _ := topicOf(begin)
		return p.Matches(name) && !c.subs.want(name, topic.Publish)
	})
}

// logOrder writes the line of what was done to a service, and by whom.
func (l *Loop) logOrder(by system.Actor, what string, of *service, attrs ...any) {
	l.broker.logAction(by, what+": "+of.name()+", by ",
		append([]any{"serviceId", of.id.String()}, attrs...))
}

// logAction writes the line of what an operator has done. Any goroutine.
func (b *Broker) logAction(by system.Actor, what string, attrs []any) {
	who := by.Identity
	if who == "" {
		who = by.Remote
	}
	b.modules.admin.Info(what+who,
		append(attrs, "identity", by.Identity, "remote", by.Remote)...)
}

var errNoDrain = errors.New("this node cannot be drained")

// BeginDrain implements system.Drainer.
func (b *Broker) BeginDrain(by system.Actor, rate int) error {
	if b.drainer == nil {
		return errNoDrain
	}
	err := b.drainer(rate)
	if err == nil {
		b.logAction(by, "a drain was asked for: ", []any{"rate", rate})
	}
	return err
}

// EndDrain implements system.Drainer.
func (b *Broker) EndDrain(by system.Actor) error {
	if b.undrainer == nil {
		return errNoDrain
	}
	err := b.undrainer()
	if err == nil {
		b.logAction(by, "the drain was cancelled: ", nil)
	}
	return err
}
