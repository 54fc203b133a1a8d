package client

import (
	"errors"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// Who was kicked is told so where it is told of the loss, and nowhere beside it; it comes back,
// with what it was subscribed to.
func TestKicked(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b := newBroker(t, clienttest.Options{})
		lost, wrong := make(chan error, 1), make(chan *Error, 9)
		back := make(chan Renewal, 1)
		c := dial(t, b.URL(transport), fastReconnect(), quickRefusals,
			OnDisconnect(func(err error) { lost <- err }), OnError(func(e *Error) { wrong <- e }),
			OnReconnect(func(r Renewal) { back <- r }))
		if _, err := c.Subscribe(testContext(t), "a.b", func(Message) {}); err != nil {
			t.Fatal(err)
		}
		b.Conns()[0].Dismiss("kicked")
		if err := receive(t, "loss", lost); !errors.Is(err, ErrForbidden) ||
			!wasKicked(err) {
			t.Errorf("lost by %v", err)
		}
		if r := receive(t, "reconnect", back); len(r.Failed) != 0 {
			t.Errorf("not renewed: %v", r.Failed)
		}
		if len(wrong) != 0 {
			t.Errorf("told beside: %v", <-wrong)
		}
	})
}

// Without reconnecting, a kick is the end, and the client says why.
func TestKickedForGood(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("tcp"), WithoutReconnect())
	b.Conns()[0].Dismiss("kicked")
	receive(t, "Done", c.Done())
	if err := c.Err(); !errors.Is(err, ErrForbidden) || !wasKicked(err) {
		t.Errorf("Err() = %v", err)
	}
}

// Who was kicked waits longer than after any other loss, and longer each time, until it stood for
// long again.
func TestKickPause(t *testing.T) {
	c := &Client{options: newOptions(nil)}
	is := &Error{Code: codec.Forbidden, Details: map[string]any{"reason": "kicked"}}
	for i, row := range []struct{ stood, least, most time.Duration }{
		{time.Hour, 15 * time.Second, 30 * time.Second},
		{time.Second, 30 * time.Second, time.Minute},
		{time.Second, time.Minute, 2 * time.Minute},
		{time.Second, 2 * time.Minute, 4 * time.Minute},
		{time.Second, 150 * time.Second, 5 * time.Minute},
		{time.Second, 150 * time.Second, 5 * time.Minute},
		{time.Hour, 15 * time.Second, 30 * time.Second},
	} {
		if d := c.kickPause(lost(is), row.stood); d < row.least || d > row.most {
			t.Errorf("%d: %v", i, d)
		}
	}
	for _, other := range []error{
		nil, ErrDisconnected, &Error{Code: codec.Forbidden},
		&Error{Code: codec.Unauthorized, Details: map[string]any{"reason": "kicked"}},
	} {
		if d := c.kickPause(other, time.Second); d != 0 {
			t.Errorf("%v: %v", other, d)
		}
	}
}

// What is refused while the client is muted may be tried again when the broker says.
func TestMuted(t *testing.T) {
	payload := []byte(`{"error":{"code":"FORBIDDEN","message":"an operator has muted this ` +
		`connection","timestamp":"","details":{"reason":"muted","retryAfterMs":1500}}}`)
	err := parseError(payload, "a.b", "")
	if after, again := RetryAfter(err); !again || after != 1500*time.Millisecond {
		t.Errorf("%v %v", after, again)
	}
}

// wasKicked says whether an error is that the client was kicked, as programs find out.
func wasKicked(err error) bool {
	var e *Error
	return errors.As(err, &e) && errors.Is(err, ErrForbidden) && e.Details["reason"] == "kicked"
}
