package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"mbserver/codec"
)

// check refuses what would be refused by the broker, or cost the connection.
func (l *link) check(topic string, payload []byte) error {
	if fault := topicFault(topic); fault != "" {
		return &Error{Code: codec.MalformedMessage, Topic: topic,
			Message: fmt.Sprintf("%q is not a topic: %s", topic, fault)}
	}
	if limit := l.welcome.Limits.PayloadBytes; limit > 0 && len(payload) > limit {
		return &Error{Code: codec.MalformedMessage, Topic: topic,
			Message: fmt.Sprintf("the payload has %d bytes, the broker's limit is %d",
				len(payload), limit)}
	}
	return nil
}

// Publish sends a message to every subscriber of the topic. It returns when
// the message is in the outbound buffer, which it waits for when the buffer is
// full, until ctx ends; payload is not kept. An error means that nothing was
// sent. Errors of the broker, NO_ROUTE_FOUND above all, go to OnError.
// Publishes of one goroutine leave in order.
func (c *Client) Publish(ctx context.Context, topic string, payload []byte) error {
	giveUp := ctx.Done() // nil: it never ends, which is quicker to see than that it has not
	if giveUp != nil && ctx.Err() != nil {
		return gaveUp(ctx, topic, "")
	}
	l, err := c.current()
	for err == nil {
		if err = l.check(topic, payload); err != nil {
			break
		}
		var sent bool
		sent, err = l.out.send(giveUp, &frame{
			action: codec.Publish, topic: topic, version: c.options.version, payload: payload,
		})
		switch {
		case sent:
			return nil
		case err == nil:
			return gaveUp(ctx, topic, "")
		}
		l, err = c.instead(ctx, l, err)
	}
	return err
}

// PublishAck sends a message and waits for the broker's acknowledgement. No
// subscriber at all is the error ErrNoRoute. When ctx ends or the connection is
// lost before the answer, the message may have been delivered or not.
func (c *Client) PublishAck(ctx context.Context, topic string, payload []byte) (Ack, error) {
	p, err := c.PublishAsync(ctx, topic, payload)
	if err != nil {
		return Ack{}, err
	}
	return p.Wait(ctx)
}

// Pending is a publish whose acknowledgement was not waited for yet.
type Pending struct {
	link *link
	call *call
}

// PublishAsync is PublishAck without the wait, so that many can be in flight:
// Wait must be called once. ctx bounds only the wait for room.
func (c *Client) PublishAsync(ctx context.Context, topic string, payload []byte) (Pending, error) {
	l, p, err := c.start(ctx, &frame{
		action: codec.Publish, topic: topic, version: c.options.version, payload: payload,
	})
	return Pending{l, p}, err
}

// Wait returns the acknowledgement, with the errors of [Client.PublishAck]. Any
// goroutine, but only one.
func (p Pending) Wait(ctx context.Context) (Ack, error) {
	topic := p.call.topic
	answer, err := p.link.wait(ctx, p.call)
	if err != nil {
		return Ack{}, err
	}
	var ack Ack
	if err := json.Unmarshal(answer, &ack); err != nil {
		return Ack{}, &Error{Code: codec.MalformedMessage, Topic: topic,
			Message: "acknowledgement: " + err.Error()}
	}
	return ack, nil
}

// Request sends a request to one service and returns its answer, which belongs
// to the caller. The deadline of ctx is sent along as the request's timeout;
// without one the broker's default counts. An answer of the form
// {"error":{"code":…}} is returned as an [*Error], whoever wrote it; any other
// is returned as it came, one that begins with "error:" included.
func (c *Client) Request(ctx context.Context, topic string, payload []byte) ([]byte, error) {
	f := &frame{action: codec.Request, topic: topic, version: c.options.version, payload: payload}
	if deadline, ok := ctx.Deadline(); ok {
		f.timeout = uint64(max(time.Until(deadline).Milliseconds(), 1))
	}
	if parent, named := ctx.Value(parentKey{}).(string); named {
		if _, ok := codec.ParseUUID([]byte(parent)); !ok {
			return nil, &Error{Code: codec.MalformedMessage, Topic: topic,
				Message: fmt.Sprintf("the parent ID %q is not a UUID", parent)}
		}
		f.parent = parent
	}
	return c.call(ctx, f)
}

type parentKey struct{}

// WithParentID returns a context whose requests name id, a UUID, as their
// parent: that of the [Request] which a handler makes them for.
func WithParentID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, parentKey{}, id)
}

// maxDefaultTimeoutMs is the largest timeout a broker takes by default (protocol §9).
const maxDefaultTimeoutMs = 3_600_000

// longest is the largest timeout of a request that the broker takes, in milliseconds.
func (l *link) longest() uint64 {
	if told := l.welcome.Limits.TimeoutMs; told > 0 {
		return told
	}
	return maxDefaultTimeoutMs
}

// systemFrame is a request to the broker about the connection.
func systemFrame(topic string, payload []byte) *frame {
	if len(payload) == 0 {
		payload = emptyObject
	}
	return &frame{action: codec.Request, topic: topic, version: systemVersion, payload: payload,
		here: true}
}

// System makes a request to the broker itself (protocol §8). payload is nil
// for {}, a []byte or json.RawMessage sent as it is, or anything that marshals
// to a JSON object. The answer is one JSON object.
func (c *Client) System(ctx context.Context, topic string, payload any) (json.RawMessage, error) {
	var body []byte
	switch p := payload.(type) {
	case nil:
	case []byte:
		body = p
	case json.RawMessage:
		body = p
	default:
		var err error
		if body, err = json.Marshal(payload); err != nil {
			return nil, err
		}
	}
	if !systemTopic(topic) {
		return nil, &Error{Code: codec.InvalidRequest, Topic: topic,
			Message: fmt.Sprintf("%q is not a system topic", topic)}
	}
	f := systemFrame(topic, body)
	f.here = false
	return c.call(ctx, f)
}

// Register gives this client a name and a description in the broker's list of
// services, now and after every reconnect. When ctx ends before the answer, the
// client returns to what was registered before. When that is nothing the broker,
// which cannot forget a registration, may list this one until the connection
// ends or the next Register.
func (c *Client) Register(ctx context.Context, r Registration) error {
	if err := c.lockSubscriptions(ctx); err != nil {
		return err
	}
	defer c.unlockSubscriptions()
	l, err := c.current()
	if err != nil {
		return err
	}
	payload := mustJSON(r.complete())
	_, err = l.call(ctx, systemFrame(topicRegister, payload))
	if err == nil {
		c.registration = payload
	} else if unsure(err) {
		c.restore(l, nil)
	}
	return err
}
