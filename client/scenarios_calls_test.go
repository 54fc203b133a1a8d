package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"mbserver/client"
)

// failure is the code by which testdata/scenarios.json names an error; "" for none.
func failure(err error) string {
	var e *client.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, client.ErrClosed):
		return "CLOSED"
	case errors.Is(err, context.Canceled):
		return "ABORTED"
	case errors.As(err, &e):
		return string(e.Code)
	case errors.Is(err, client.ErrDisconnected):
		return "DISCONNECTED"
	}
	return err.Error()
}

// settle compares how a call came out with what the step says.
func (sc *scene) settle(st *step, o outcome) error {
	if got := failure(o.err); got != st.Fails {
		return fmt.Errorf("it failed with %q: %w", got, o.err)
	}
	var e *client.Error
	if st.Reason != "" && (!errors.As(o.err, &e) || e.Details["reason"] != st.Reason) {
		return fmt.Errorf("the reason is another: %w", o.err)
	}
	if st.Answer != nil && !bytes.Equal(o.answer, st.Answer) {
		return fmt.Errorf("answered with %s", o.answer)
	}
	if st.Subscribers != nil && o.ack.Subscribers != *st.Subscribers {
		return fmt.Errorf("%d subscribers", o.ack.Subscribers)
	}
	return nil
}

// bounded is the context of a call that the step gives up.
func (st *step) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if st.TimeoutMs > 0 {
		return context.WithTimeout(ctx, time.Duration(st.TimeoutMs)*time.Millisecond)
	}
	ctx, cancel := context.WithCancel(ctx)
	switch {
	case st.AbortMs == nil:
	case *st.AbortMs == 0:
		cancel()
	default:
		time.AfterFunc(time.Duration(*st.AbortMs)*time.Millisecond, cancel)
	}
	return ctx, cancel
}

func (sc *scene) connect(ctx context.Context, st *step) outcome {
	p := &player{}
	note := func(name string) func(code client.Code) {
		return func(code client.Code) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.events = append(p.events, event{name, code})
		}
	}
	options := []client.Option{
		client.WithReconnect(20*time.Millisecond, 200*time.Millisecond, 0),
		client.OnError(func(e *client.Error) { note("error")(e.Code) }),
		client.OnDisconnect(func(err error) { note("disconnect")(client.Code(failure(err))) }),
		client.OnReconnect(func(client.Renewal) { note("reconnect")("") }),
		client.OnMove(func(client.Renewal) { note("move")("") }),
		client.OnRevoked(func(*client.Subscription) { note("revoked")("") }),
		client.OnGap(func(g client.Gap) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.dropped += int(g.Count)
		}),
	}
	if st.PendingBytes > 0 {
		options = append(options, client.WithPending(st.PendingBytes))
	}
	if len(st.Tokens) > 0 {
		tokens := st.Tokens
		options = append(options, client.WithTokenSource(func(context.Context) (string, error) {
			token := tokens[0]
			tokens = tokens[min(1, len(tokens)-1):]
			return token, nil
		}))
	}
	var addresses []string
	for _, name := range st.To {
		n := sc.node(name)
		addresses = append(addresses, n.URL(sc.transport))
		options = append(options, client.WithTLS(n.trusting))
	}
	var err error
	if p.c, err = client.Dial(ctx, strings.Join(addresses, ","), options...); err == nil {
		sc.clients[st.Connect] = p
	}
	return outcome{err: err}
}

// subscribe makes a subscription or a handler.
func (sc *scene) subscribe(ctx context.Context, st *step) error {
	ctx, cancel := st.bounded(ctx)
	defer cancel()
	c := sc.clients[st.Client].c
	m := &making{held: make(chan struct{})}
	if !st.Hold {
		close(m.held)
	}
	sc.made[st.Subscribe+st.Handle] = m
	if st.Handle != "" {
		var err error
		m.s, err = c.Handle(ctx, st.Pattern,
			func(ctx context.Context, r client.Request) ([]byte, error) {
				<-m.held
				if st.Throws != "" {
					return nil, &client.Error{Code: client.Code(st.Throws)}
				}
				return r.Payload, nil
			})
		return err
	}
	for i := range max(st.Many, 1) {
		pattern := st.Pattern
		if st.Many > 0 {
			pattern = fmt.Sprint(pattern, i)
		}
		s, err := c.Subscribe(ctx, pattern, func(msg client.Message) { m.take(st, msg) })
		if err != nil {
			return err
		}
		m.s = s
	}
	return nil
}

func (m *making) take(st *step, msg client.Message) {
	m.mu.Lock()
	m.all++
	if st.Spoil {
		clear(msg.Payload)
	} else {
		m.got = append(m.got, string(msg.Payload))
	}
	m.mu.Unlock()
	<-m.held
}

func (m *making) release() {
	select {
	case <-m.held:
	default:
		close(m.held)
	}
}

// received compares what has come with what should have, and begins anew.
func (m *making) received(want []json.RawMessage) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	same := len(m.got) == len(want)
	for i := 0; same && i < len(want); i++ {
		same = m.got[i] == string(want[i])
	}
	if !same {
		return fmt.Errorf("%q have come", m.got)
	}
	m.got = nil
	return nil
}

func (m *making) accounted(p *player, count int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.all+p.dropped != count || m.all == 0 || p.dropped == 0 {
		return fmt.Errorf("%d have come, %d were dropped", m.all, p.dropped)
	}
	return nil
}

// happened takes the event away.
func (p *player) happened(st *step) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, e := range p.events {
		if e.name == st.Happens && (st.Code == "" || string(e.code) == st.Code) {
			p.events = append(p.events[:i:i], p.events[i+1:]...)
			return nil
		}
	}
	return fmt.Errorf("there was %v", p.events)
}

// call makes the calls of a step and looks at how each comes out, or has that done later.
func (sc *scene) call(ctx context.Context, st *step) error {
	name := st.Client + st.Drain
	c := sc.clients[name].c
	if st.Later != "" {
		done := make(chan outcome, 1)
		sc.later[st.Later] = done
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			done <- st.callOnce(ctx, c)
		}()
		return nil
	}
	for range max(st.Repeat, 1) {
		if err := sc.settle(st, st.callOnce(ctx, c)); err != nil {
			return err
		}
	}
	return nil
}

func (st *step) callOnce(ctx context.Context, c *client.Client) (o outcome) {
	ctx, cancel := st.bounded(ctx)
	defer cancel()
	data := []byte(st.Data)
	if st.Bytes > 0 {
		data, _ = json.Marshal(strings.Repeat("x", st.Bytes)) // It never fails.
	}
	switch {
	case st.Drain != "":
		o.err = c.Drain(ctx)
	case st.Publish != "":
		o.err = c.Publish(ctx, st.Publish, data)
	case st.PublishAck != "":
		o.ack, o.err = c.PublishAck(ctx, st.PublishAck, data)
	default:
		o.answer, o.err = c.Request(ctx, st.Request, data)
	}
	return o
}

// look asks a node what stands there.
func (sc *scene) look(ctx context.Context, st *step) error {
	n := sc.node(st.On)
	c, err := client.Dial(ctx, n.URL(sc.transport), client.WithTLS(n.trusting))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // It never fails.
	topic := "system.topic.subscriptions"
	if st.Lists != "" {
		topic = "system.service.list"
	}
	return poll(ctx, func() error {
		answer, err := c.System(ctx, topic, nil)
		if err != nil {
			return err
		}
		var told struct {
			Services      []struct{ Name string }
			Subscriptions []struct {
				Topic       string
				Subscribers []any
			}
		}
		if err := json.Unmarshal(answer, &told); err != nil {
			return err
		}
		count := 0
		for _, s := range told.Services {
			if s.Name == st.Lists {
				count++
			}
		}
		for _, s := range told.Subscriptions {
			if s.Topic == st.Stands {
				count += len(s.Subscribers)
			}
		}
		if count != st.Count {
			return fmt.Errorf("there are %d", count)
		}
		return nil
	})
}
