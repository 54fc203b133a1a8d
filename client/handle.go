package client

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"mbserver/codec"
)

// Defaults of the handler options.
const (
	DefaultConcurrency = 64
	DefaultBacklog     = 4096
)

// Handler answers one request. It returns the answer's payload, or an error
// that is answered as the JSON object described at the top of the package. ctx
// ends with the connection the request came over, when nobody can be answered
// any more, and at the request's deadline where the broker tells it.
type Handler func(ctx context.Context, r Request) ([]byte, error)

// HandleOption changes a handler made by [Client.Handle].
type HandleOption func(*handler)

// WithPriority sets the priority at the broker: the higher one gets the
// request (protocol §6). A finite number, default 0.
func WithPriority(p float64) HandleOption { return func(h *handler) { h.priority = p } }

// WithConcurrency bounds the requests one handler works on at the same time
// (default [DefaultConcurrency]). With 1 they are handled in the order they came.
func WithConcurrency(n int) HandleOption { return func(h *handler) { h.concurrency = max(n, 1) } }

// WithBacklog bounds the requests waiting for a handler that is busy (default
// [DefaultBacklog]); more are answered SERVICE_UNAVAILABLE at once.
// Registration.MaxConcurrent makes the broker hold them back instead.
func WithBacklog(n int) HandleOption { return func(h *handler) { h.backlog = max(n, 0) } }

// handler serves the requests of one Handle with goroutines that exist only
// while there are requests.
type handler struct {
	// Immutable after Handle.
	client      *Client
	f           Handler
	priority    float64
	concurrency int
	backlog     int

	// Guarded by mu.
	mu      sync.Mutex
	running int
	waiting []arrival
}

type arrival struct {
	link    *link
	request Request
}

// Handle answers the requests on topics that match the pattern. It returns
// when the broker has confirmed. Among several handlers of one client that
// match, the one of the highest priority serves, then the one made first.
func (c *Client) Handle(
	ctx context.Context, pattern string, f Handler, opts ...HandleOption,
) (*Subscription, error) {
	h := &handler{client: c, f: f, concurrency: DefaultConcurrency, backlog: DefaultBacklog}
	for _, set := range opts {
		set(h)
	}
	fields := subscribeFields{
		Action: codec.Request.String(), Topic: strings.ToLower(pattern), Priority: h.priority,
	}
	s := &Subscription{
		client: c, action: codec.Request, pattern: fields.Topic, handler: h,
		topic: topicSubscribe, undo: topicUnsubscribe, payload: mustJSON(fields),
	}
	if err := c.subscribe(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

// accept takes one request. It does not block: reader only.
func (h *handler) accept(l *link, r Request) {
	l.calls.serve(1)
	h.mu.Lock()
	switch {
	case h.running < h.concurrency:
		h.running++
		h.client.handlers.add(1)
		h.mu.Unlock()
		go h.work(arrival{l, r})
	case len(h.waiting) < h.backlog:
		h.waiting = append(h.waiting, arrival{l, r})
		h.mu.Unlock()
	default:
		h.mu.Unlock()
		l.refuse(&r, &Error{
			Code: codec.ServiceUnavailable, Message: "the service is busy",
			Details: map[string]any{"reason": "handler_busy"},
		})
		l.calls.serve(-1)
	}
}

// work handles requests until none waits.
func (h *handler) work(a arrival) {
	defer h.client.handlers.add(-1)
	for {
		if a.link.ctx.Err() == nil { // else nobody can be answered
			h.handle(a)
		}
		a.link.calls.serve(-1)
		h.mu.Lock()
		if len(h.waiting) == 0 {
			h.running--
			h.waiting = nil
			h.mu.Unlock()
			return
		}
		a = h.waiting[0]
		h.waiting[0] = arrival{}
		h.waiting = h.waiting[1:]
		h.mu.Unlock()
	}
}

func (h *handler) handle(a arrival) {
	ctx := a.link.ctx
	if !a.request.deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, a.request.deadline)
		defer cancel()
	}
	answer, err := h.f(ctx, a.request)
	if err != nil {
		answer = errorPayload(err)
	}
	if limit := a.link.welcome.Limits.PayloadBytes; limit > 0 && len(answer) > limit {
		answer = errorPayload(&Error{
			Code: codec.InternalError,
			Message: fmt.Sprintf("the answer has %d bytes, the broker's limit is %d",
				len(answer), limit),
		})
	}
	a.link.respond(&a.request, answer)
}

// respond answers on the connection the request came over: the masked ID means
// nothing on another one. It waits for room like Publish.
func (l *link) respond(r *Request, payload []byte) {
	// When the connection is gone the broker has told the requester.
	_, _ = l.out.send(nil, r.answer(payload))
}

// refuse answers without waiting for room: reader only.
func (l *link) refuse(r *Request, e *Error) { l.out.force(r.answer(errorPayload(e))) }

func (r *Request) answer(payload []byte) *frame {
	return &frame{
		action: codec.Response, topic: r.Topic, version: r.Version,
		id: []byte(r.ID), payload: payload, here: true,
	}
}

// counter is a wait group that can be waited for with a context.
type counter struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // non-nil while somebody waits
}

func (c *counter) add(delta int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += delta
	if c.n == 0 && c.zero != nil {
		close(c.zero)
		c.zero = nil
	}
}

func (c *counter) wait() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if c.zero == nil {
		c.zero = make(chan struct{})
	}
	return c.zero
}
