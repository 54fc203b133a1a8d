package client

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mbserver/client/clienttest"
	"mbserver/codec"
)

// keeper is who a broker takes for whom, and what it was shown.
type keeper struct {
	mu     sync.Mutex
	grants map[string]clienttest.Grant // by token
	refuse *clienttest.Refusal         // of other tokens; nil: they are invalid
	shown  []string
}

func (k *keeper) authenticate(token string) (clienttest.Grant, *clienttest.Refusal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shown = append(k.shown, token)
	if grant, known := k.grants[token]; known {
		return grant, nil
	}
	if k.refuse != nil {
		return clienttest.Grant{}, k.refuse
	}
	return clienttest.Grant{}, &clienttest.Refusal{Reason: "invalid"}
}

func (k *keeper) set(token string, g clienttest.Grant) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.grants[token] = g
}

func (k *keeper) drop(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.grants, token)
}

func (k *keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.shown)
}

// newKeeper is a broker that wants to know who connects; it knows anna by the token "good".
func newKeeper(t *testing.T) (*clienttest.Broker, *keeper) {
	k := &keeper{grants: map[string]clienttest.Grant{"good": {Identity: "anna"}}}
	return newBroker(t, clienttest.Options{Authenticate: k.authenticate}), k
}

// reasonOf is an error's reason; of another kind of error it is the text.
func reasonOf(err error) any {
	var e *Error
	if errors.As(err, &e) && errors.Is(err, ErrUnauthorized) {
		return e.Details["reason"]
	}
	return err
}

// quickRefusals shortens the wait after refused credentials.
func quickRefusals(o *options) { o.refusalMin, o.refusalMax = time.Millisecond, time.Millisecond }

func TestIdentity(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b, k := newKeeper(t)
		end := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
		k.set("ends", clienttest.Grant{Identity: "bob", Expires: end})
		long := strings.Repeat("l", maxUpgradeToken+1)
		k.set(long, clienttest.Grant{Identity: "carl"})
		for _, tc := range []struct {
			token, identity string
			expires         time.Time
			shown           string
		}{
			{"good", "anna", time.Time{}, "good"},
			{" good\n", "anna", time.Time{}, "good"},
			{"ends", "bob", end, "ends"},
			{long, "carl", time.Time{}, long},
		} {
			c := dial(t, b.URL(transport), WithToken(tc.token))
			if c.Identity() != tc.identity || !c.ExpiresAt().Equal(tc.expires) {
				t.Errorf("%q, until %v", c.Identity(), c.ExpiresAt())
			}
			if err := c.Ping(testContext(t)); err != nil {
				t.Error(err)
			}
			conns := b.Conns()
			if got := conns[len(conns)-1].Token(); got != tc.shown {
				t.Errorf("shown %.20q", got)
			}
		}
		if got := k.count(); got != 4 {
			t.Errorf("%d tokens were shown", got)
		}
	})
}

// Without authentication there is nobody to be.
func TestIdentityUnasked(t *testing.T) {
	b := newBroker(t, clienttest.Options{})
	c := dial(t, b.URL("ws"), WithToken("any"))
	if c.Identity() != "" || !c.ExpiresAt().IsZero() {
		t.Errorf("%q, until %v", c.Identity(), c.ExpiresAt())
	}
}

// Dial says why it was refused, and never the token.
func TestIdentityRefused(t *testing.T) {
	source := errors.New("the vault is closed")
	failing := WithTokenSource(func(context.Context) (string, error) { return "", source })
	overTransports(t, func(t *testing.T, transport string) {
		b, k := newKeeper(t)
		for _, tc := range []struct {
			refuse *clienttest.Refusal
			option Option
			want   any
			after  time.Duration
		}{
			{nil, WithToken("s3cret"), "invalid", 0},
			{nil, WithToken(""), "required", 0},
			{nil, WithMessageVersion("1.0.0"), "required", 0},
			{&clienttest.Refusal{Reason: "expired"}, WithToken("s3cret"), "expired", 0},
			{&clienttest.Refusal{Reason: "locked_out", RetryAfter: 7 * time.Second},
				WithToken("s3cret"), "locked_out", 7 * time.Second},
			{nil, WithToken("s3cret\nX-Evil: 1"), "invalid", 0},
			{nil, WithToken(strings.Repeat("s3cret", 8<<10)), "invalid", 0},
			{nil, failing, nil, 0},
		} {
			k.refuse = tc.refuse
			_, err := Dial(testContext(t), b.URL(transport), trusting(t), tc.option)
			if got := reasonOf(err); got != tc.want {
				t.Errorf("%v, want the reason %v", err, tc.want)
				continue
			}
			if after, again := RetryAfter(err); again != (tc.after > 0) || after != tc.after {
				t.Errorf("%v: again %v, after %v", err, again, after)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("it tells the token: %v", err)
			}
			if tc.want == nil && (!errors.Is(err, source) || !errors.Is(err, ErrUnauthorized)) {
				t.Errorf("%v", err)
			}
		}
	})
}

// A source is bounded by what an attempt is bounded by.
func TestTokenSourceBounded(t *testing.T) {
	b, _ := newKeeper(t)
	hangs := WithTokenSource(func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	})
	_, err := Dial(testContext(t), b.URL("tcp"), hangs, WithDialTimeout(10*time.Millisecond))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// A reconnect shows what the source has then. What is refused is told, tried again, and ends with
// the attempts.
func TestIdentityReconnect(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b, k := newKeeper(t)
		var token atomic.Value
		token.Store("good")
		told := make(chan *Error, 100)
		lost := make(chan error, 100)
		c := dial(t, b.URL(transport), fastReconnect(), quickRefusals,
			WithTokenSource(func(context.Context) (string, error) {
				return token.Load().(string), nil
			}),
			OnError(func(e *Error) { told <- e }), OnDisconnect(func(err error) { lost <- err }))
		token.Store("newer")
		k.drop("good")
		b.Conns()[0].Dismiss("revoked")
		if err := receive(t, "loss", lost); reasonOf(err) != "revoked" ||
			!errors.Is(err, ErrDisconnected) {
			t.Errorf("lost by %v", err)
		}
		for range 2 {
			if e := receive(t, "refusal", told); e.Details["reason"] != "invalid" {
				t.Errorf("told %v", e)
			}
		}
		k.set("newer", clienttest.Grant{Identity: "bob"})
		if err := c.WaitConnected(testContext(t)); err != nil || c.Identity() != "bob" {
			t.Errorf("%q, %v", c.Identity(), err)
		}
	})
}

func TestIdentityReconnectEnds(t *testing.T) {
	b, k := newKeeper(t)
	var log bytes.Buffer
	c := dial(t, b.URL("ws"), WithReconnect(time.Millisecond, time.Millisecond, 3), quickRefusals,
		WithToken("good"), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	k.drop("good")
	b.Disconnect()
	receive(t, "Done", c.Done())
	if err := c.Err(); reasonOf(err) != "invalid" || !errors.Is(err, ErrDisconnected) {
		t.Errorf("Err() = %v", err)
	}
	if got := strings.Count(log.String(), "reconnect was refused"); got != 3 || k.count() != 4 {
		t.Errorf("%d lines, %d tokens shown: %s", got, k.count(), &log)
	}
}

// After a refusal the client waits longer than for a broker that is not there, as long as it is
// told to, and every time longer.
func TestRefusalPause(t *testing.T) {
	c := &Client{options: newOptions(nil)}
	refused := &Error{Code: codec.Unauthorized, Details: map[string]any{"reason": "invalid"}}
	for n, most := range []time.Duration{
		30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute,
	} {
		for range 100 {
			if d := c.refusalPause(n, refused); d < most/2 || d > most {
				t.Errorf("refusal %d: %v, want up to %v", n, d, most)
			}
		}
	}
	locked := &Error{Code: codec.Unauthorized, Details: map[string]any{"retryAfterMs": 600_000.0}}
	if d := c.refusalPause(0, locked); d < 10*time.Minute || d > 25*time.Minute/2 {
		t.Errorf("locked out for ten minutes: %v", d)
	}
	for _, err := range []error{
		errors.New("x"), &Error{Code: codec.ServiceUnavailable},
		&Error{Code: codec.Unauthorized, cause: context.Canceled},
	} {
		if d := c.refusalPause(9, err); d != 0 {
			t.Errorf("%v: %v", err, d)
		}
	}
	d := c.refusalPause(1<<40, lost(&Error{Code: codec.Forbidden}))
	if d > 5*time.Minute || d == 0 {
		t.Errorf("forbidden: %v", d)
	}
}

// renewOnce makes the client renew who it is, and waits until it has, or has given up.
func renewOnce(t *testing.T, c *Client, conn *clienttest.Conn) {
	t.Helper()
	conn.Expiring(40 * time.Millisecond)
	if err := c.Ping(testContext(t)); err != nil { // The notice stands before its answer.
		t.Fatal(err)
	}
	eventually(t, "the end", func() bool { return !c.last.Load().reidentifying.Load() })
}

// Before who the client is ends, it is renewed on the connection that stands.
func TestIdentityRenewed(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b, k := newKeeper(t)
		soon, late := time.Now().Add(time.Minute), time.Now().Add(time.Hour)
		k.set("first", clienttest.Grant{Identity: "anna", Expires: soon})
		k.set("second", clienttest.Grant{Identity: "anna", Expires: late})
		var asked atomic.Int32
		c := dial(t, b.URL(transport), WithTokenSource(func(ctx context.Context) (string, error) {
			switch asked.Add(1) {
			case 1:
				return "first", nil
			case 2:
				return "", errors.New("not now")
			}
			return "second", nil
		}), WithoutReconnect(), WithLogger(slog.New(slog.DiscardHandler)))
		conn := b.Conns()[0]
		eventually(t, "renewal", func() bool {
			renewOnce(t, c, conn)
			return c.ExpiresAt().After(soon)
		})
		if got := conn.Token(); got != "second" || c.Identity() != "anna" || asked.Load() < 3 {
			t.Errorf("shown %q, is %q, asked %d times", got, c.Identity(), asked.Load())
		}
	})
}

// A source that has nothing better is told so, once; one that gives wrong tokens has two tries on a
// connection, for the third would end it.
func TestIdentityNotRenewed(t *testing.T) {
	b, k := newKeeper(t)
	k.set("ends", clienttest.Grant{Identity: "anna", Expires: time.Now().Add(time.Minute)})
	told := make(chan *Error, 100)
	var token atomic.Value
	token.Store("ends")
	c := dial(t, b.URL("tcp"), WithTokenSource(func(context.Context) (string, error) {
		return token.Load().(string), nil
	}), OnError(func(e *Error) { told <- e }))
	conn := b.Conns()[0]
	renew := func(tokens int) { // waits until it is over
		t.Helper()
		eventually(t, "tokens shown", func() bool {
			renewOnce(t, c, conn)
			return k.count() >= tokens
		})
		if got := k.count(); got != tokens {
			t.Errorf("%d tokens shown, want %d", got, tokens)
		}
	}
	renew(2)
	renew(3)
	token.Store("wrong")
	renew(5)
	renew(5)
	for _, want := range []string{"expiring", "invalid", "invalid"} {
		if e := receive(t, want, told); e.Details["reason"] != want {
			t.Errorf("told %v", e)
		}
	}
	if err := c.Ping(testContext(t)); err != nil || k.count() != 5 || len(told) > 0 {
		t.Errorf("%v; %d tokens shown", err, k.count())
	}
}

// Whatever renews ends with the client.
func TestIdentityRenewalEnds(t *testing.T) {
	b, _ := newKeeper(t)
	asked := make(chan struct{}, 2)
	first := true
	c, err := Dial(testContext(t), b.URL("tcp"),
		WithTokenSource(func(ctx context.Context) (string, error) {
			if first {
				first = false
				return "good", nil
			}
			asked <- struct{}{}
			<-ctx.Done()
			return "", ctx.Err()
		}))
	if err != nil {
		t.Fatal(err)
	}
	b.Conns()[0].Expiring(time.Hour)
	l := c.last.Load()
	eventually(t, "the renewal", l.reidentifying.Load)
	_ = c.Close() // It never fails.
	receive(t, "Done", c.Done())
	c, err = Dial(testContext(t), b.URL("tcp"), WithToken("good"))
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	receive(t, "Done", c.Done())
}

// A subscription that the broker ends has ended here too, its owner is told, and a reconnect does
// not ask for it.
func TestRevoked(t *testing.T) {
	overTransports(t, func(t *testing.T, transport string) {
		b := newBroker(t, clienttest.Options{})
		revoked := make(chan *Subscription, 10)
		renewed := make(chan Renewal, 1)
		c := dial(t, b.URL(transport), fastReconnect(),
			OnRevoked(func(s *Subscription) { revoked <- s }),
			OnReconnect(func(r Renewal) { renewed <- r }))
		ctx := testContext(t)
		subscribe := func(pattern string) *Subscription {
			s, err := c.Subscribe(ctx, pattern, func(Message) {})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		one, other, stays := subscribe("Secret.#"), subscribe("secret.#"), subscribe("open")
		served, err := c.Handle(ctx, "secret.#", echo)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := c.Stream(ctx, "pulled")
		if err != nil {
			t.Fatal(err)
		}
		conn := b.Conns()[0]
		conn.Revoke("publish", "secret.#")
		conn.Revoke("publish", "pulled")
		for _, want := range []*Subscription{one, other, stream.subscription} {
			if s := receive(t, "OnRevoked", revoked); s != want {
				t.Errorf("told of %s", s.Pattern())
			}
		}
		var e *Error
		if err := one.Err(); !errors.As(err, &e) || !errors.Is(err, ErrForbidden) ||
			e.Details["action"] != "subscribe" || e.Details["topic"] != "secret.#" {
			t.Errorf("Err() = %v", err)
		}
		if _, err := stream.Next(ctx); !errors.Is(err, ErrForbidden) {
			t.Errorf("Next: %v", err)
		}
		if stays.Err() != nil || served.Err() != nil {
			t.Errorf("Err() = %v, %v", stays.Err(), served.Err())
		}
		for _, end := range []error{one.Unsubscribe(ctx), stream.Stop(ctx)} {
			if end != nil {
				t.Errorf("ended by %v", end)
			}
		}
		conn.Revoke("request", "secret.#")
		if s := receive(t, "OnRevoked", revoked); s != served ||
			!errors.Is(s.Err(), ErrForbidden) ||
			!strings.Contains(s.Err().Error(), "respond secret.#") {
			t.Errorf("%v", s.Err())
		}
		b.Disconnect()
		receive(t, "reconnect", renewed)
		if got := b.Conns()[0].Subscriptions(); !reflect.DeepEqual(got, []string{"publish open"}) {
			t.Errorf("at the broker: %v", got)
		}
		again := subscribe("secret.#")
		if err := again.Unsubscribe(ctx); err != nil || !errors.Is(again.Err(), ErrClosed) {
			t.Errorf("%v, then %v", err, again.Err())
		}
	})
}

// A revocation that crosses with a subscription is of the one before, or of this one: what holds in
// the end is the same here and at the broker.
func TestRevokedWhileSubscribing(t *testing.T) {
	var asked atomic.Int32
	revokes := func(c *clienttest.Conn, h *codec.Header, payload []byte) bool {
		if string(h.Topic) == "system.topic.subscribe" && asked.Add(1) == 1 {
			c.Send("publish:system.topic.revoked:1.0.0", []byte(`{"action":"publish","topic":"a"}`))
		}
		return false
	}
	b := newBroker(t, clienttest.Options{Intercept: revokes})
	c := dial(t, b.URL("tcp"))
	got := make(chan Message, 1)
	s, err := c.Subscribe(testContext(t), "a", func(m Message) { got <- m })
	if err != nil || s.Err() != nil {
		t.Fatal(err, s.Err())
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	if _, err := c.PublishAck(testContext(t), "a", nil); err != nil {
		t.Fatal(err)
	}
	receive(t, "message", got)
}

// Revocations, renewals, losses and calls at the same time: for the race detector, and whatever
// stands in the end stands at the broker too.
func TestIdentityRaces(t *testing.T) {
	b, k := newKeeper(t)
	k.set("good", clienttest.Grant{Identity: "anna", Expires: time.Now().Add(time.Hour)})
	c := dial(t, b.URL("tcp"), fastReconnect(), quickRefusals, WithToken("good"),
		OnRevoked(func(*Subscription) {}), OnError(func(*Error) {}))
	ctx := testContext(t)
	var all sync.WaitGroup
	for i := range 4 {
		pattern := string(rune('a' + i%2))
		all.Go(func() {
			for range 50 {
				s, err := c.Subscribe(ctx, pattern, func(Message) {})
				if err != nil {
					_ = c.WaitConnected(ctx) // The connection was cut.
					continue
				}
				_, _ = s.Err(), c.Identity()
				_ = s.Unsubscribe(ctx) // As above.
			}
		})
	}
	all.Go(func() {
		for i := range 50 {
			for _, conn := range b.Conns() {
				conn.Revoke("publish", "a")
				conn.Expiring(time.Millisecond)
				if i%10 == 9 {
					conn.Dismiss("expired")
				}
			}
			_ = c.WaitConnected(ctx) // It ends with the test's time.
		}
	})
	all.Wait()
	if err := c.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the same here and there", func() bool {
		if c.Ping(ctx) != nil {
			return false
		}
		conns := b.Conns()
		return len(conns) == 1 && len(conns[0].Subscriptions()) == len(c.registry.all())
	})
}
