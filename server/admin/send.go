package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"mbserver/client"
)

// Messages that somebody at the listener sends. Each goes over a connection of its own, whose other
// end is a client within this process: so whatever holds for clients holds here, and nobody may do
// here what he may not do as a client.

// Dial connects to the node from within, on behalf of somebody at an address, as over TCP. Any
// goroutine.
type Dial = func(remote netip.AddrPort) (net.Conn, error)

const (
	dialTime    = 1500 * time.Millisecond // to connect within the process
	sendTime    = 5 * time.Second         // when nothing else is asked for
	sendTimeMax = 8 * time.Second         // before the listener's own time is over
)

// wish is the body of POST /publish and POST /request.
type wish struct {
	Topic     string `json:"topic"`
	Payload   string `json:"payload"`   // as it is sent
	TimeoutMs int    `json:"timeoutMs"` // 0: sendTime
}

// sendAnswer is what came of a message.
type sendAnswer struct {
	Payload any     `json:"payload"` // JSON as it is, else as text, else as base64
	Ms      float64 `json:"ms"`      // that it took
}

// servePublish publishes a message, and answers when the node has acknowledged it.
func (s *Server) servePublish(w http.ResponseWriter, r *http.Request, v *viewer) {
	s.send(w, r, v, func(ctx context.Context, c *client.Client, o *wish) (any, error) {
		ack, err := c.PublishAck(ctx, o.Topic, []byte(o.Payload))
		return map[string]int{"subscribers": ack.Subscribers, "dropped": ack.Dropped}, err
	})
}

// serveRequest sends a request, and answers with its answer.
func (s *Server) serveRequest(w http.ResponseWriter, r *http.Request, v *viewer) {
	s.send(w, r, v, func(ctx context.Context, c *client.Client, o *wish) (any, error) {
		answer, err := c.Request(ctx, o.Topic, []byte(o.Payload))
		return readable(answer), err
	})
}

// readable shows a payload as what it is.
func readable(b []byte) any {
	switch {
	case json.Valid(b):
		return json.RawMessage(b)
	case utf8.Valid(b):
		return string(b)
	}
	return b
}

func (s *Server) send(
	w http.ResponseWriter, r *http.Request, v *viewer,
	do func(context.Context, *client.Client, *wish) (any, error),
) {
	o := wish{}
	if !readObject(r.Body, &o) {
		answerError(w, http.StatusBadRequest, invalid,
			`send one object such as {"topic":"a.b","payload":"{}"}`)
		return
	}
	wait := sendTime
	if o.TimeoutMs != 0 {
		wait = time.Duration(o.TimeoutMs) * time.Millisecond
	}
	if wait <= 0 || wait > sendTimeMax {
		answerError(w, http.StatusBadRequest, invalid, "timeoutMs: must be 1 to "+
			strconv.FormatInt(sendTimeMax.Milliseconds(), 10), "field", "timeoutMs")
		return
	}
	s.acts(v, "a message is sent: "+o.Topic, "path", r.URL.Path, "topic", o.Topic)
	var began time.Time
	payload, err := s.ask(r, wait, func(ctx context.Context, c *client.Client) (any, error) {
		began = time.Now()
		return do(ctx, c, &o)
	})
	if err != nil {
		answerFailure(w, err)
		return
	}
	ms := float64(time.Since(began).Microseconds()) / 1000
	answerJSON(w, http.StatusOK, sendAnswer{Payload: payload, Ms: ms})
}

// ask has do speak to the node as who has sent r, for so long. The way to the node does not count:
// who gives a message a millisecond is answered by the node, not by what leads to it.
func (s *Server) ask(
	r *http.Request, wait time.Duration, do func(context.Context, *client.Client) (any, error),
) (any, error) {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	options := []client.Option{
		client.WithDialer(func(context.Context, string, string) (net.Conn, error) {
			return s.dial(from)
		}),
		client.WithoutReconnect(), client.WithLogger(slog.New(slog.DiscardHandler)),
	}
	if token, given := tokenOf(r); given {
		options = append(options, client.WithToken(token))
	}
	dialing, dialed := context.WithTimeout(r.Context(), dialTime)
	defer dialed()
	c, err := client.Dial(dialing, "tcp://inside:1", options...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	return do(ctx, c)
}

// answerFailure answers with what the node, or a service, has said.
func answerFailure(w http.ResponseWriter, err error) {
	var said *client.Error
	switch {
	case errors.As(err, &said):
		var details []any
		for name, value := range said.Details {
			details = append(details, name, value)
		}
		status := http.StatusUnprocessableEntity // the request was good, its message was not
		switch string(said.Code) {
		case unauthorized:
			status = http.StatusUnauthorized
		case forbidden:
			status = http.StatusForbidden
		}
		answerError(w, status, string(said.Code), said.Message, details...)
	default:
		answerError(w, http.StatusServiceUnavailable, unavailable, err.Error())
	}
}
