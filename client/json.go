package client

import (
	"context"
	"encoding/json"
	"sync"

	"mbserver/codec"
)

// PublishJSON is [Client.Publish] of v as JSON. A v that does not marshal is the
// error of encoding/json, here and below.
func PublishJSON(ctx context.Context, c *Client, topic string, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Publish(ctx, topic, payload)
}

// RequestJSON is [Client.Request] of v as JSON; the answer is JSON of T. One
// that is not is the error ErrMalformed.
func RequestJSON[T any](ctx context.Context, c *Client, topic string, v any) (T, error) {
	var answer T
	payload, err := json.Marshal(v)
	if err != nil {
		return answer, err
	}
	payload, err = c.Request(ctx, topic, payload)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(payload, &answer); err != nil {
		return answer, &Error{Code: codec.MalformedMessage, Topic: topic,
			Message: "the answer: " + err.Error(), cause: err}
	}
	return answer, nil
}

// SubscribeJSON is [Client.Subscribe] to messages that are JSON of T. What is
// not goes to OnError, with code MALFORMED_MESSAGE, or without that hook to the
// logger: the first of each subscription.
func SubscribeJSON[T any](
	ctx context.Context, c *Client, pattern string, f func(Message, T), opts ...SubOption,
) (*Subscription, error) {
	var logged sync.Once
	return c.Subscribe(ctx, pattern, func(m Message) {
		var v T
		if err := json.Unmarshal(m.Payload, &v); err != nil {
			e := &Error{Code: codec.MalformedMessage, Topic: m.Topic, RequestID: m.ID(),
				Message: "a message: " + err.Error(), cause: err}
			c.report(e)
			if c.options.onError == nil {
				logged.Do(func() {
					c.options.logger.Warn("mb client: messages are not what the subscription takes",
						"subscription", pattern, "first", e)
				})
			}
			return
		}
		f(m, v)
	}, opts...)
}

// HandleJSON is [Client.Handle] of requests and answers that are JSON of In and
// Out. A request that is not is answered MALFORMED_MESSAGE.
func HandleJSON[In, Out any](
	ctx context.Context, c *Client, pattern string,
	f func(ctx context.Context, r Request, in In) (Out, error), opts ...HandleOption,
) (*Subscription, error) {
	return c.Handle(ctx, pattern, func(ctx context.Context, r Request) ([]byte, error) {
		var in In
		if err := json.Unmarshal(r.Payload, &in); err != nil {
			return nil, &Error{Code: codec.MalformedMessage, Topic: r.Topic, RequestID: r.ID,
				Message: "the request: " + err.Error(), cause: err}
		}
		out, err := f(ctx, r, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	}, opts...)
}
