package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"mbserver/client"
)

// dial connects within the timeout.
func (a *app) dial(ctx context.Context, opts ...client.Option) (*client.Client, error) {
	if a.timeout <= 0 {
		return nil, usageError("--timeout must be positive")
	}
	if a.unchosen != nil {
		return nil, a.unchosen
	}
	server := withScheme(a.server)
	cfg, err := a.tlsConfig(server)
	if err != nil {
		return nil, err
	}
	heard := &greeting{}
	basic := []client.Option{
		client.WithDialTimeout(a.timeout), client.WithTLS(cfg), client.WithToken(a.token),
		client.WithDialer(heard.dial), client.WithLogger(slog.New(slog.DiscardHandler)),
	}
	c, err := client.Dial(ctx, server, append(basic, opts...)...)
	if err != nil && ctx.Err() != nil {
		return nil, interrupted("while connecting")
	}
	if errors.Is(err, client.ErrUnauthorized) {
		return nil, unknown(err)
	}
	if err != nil {
		return nil, explain(ctx, server, heard.said(), a.timeout, err)
	}
	return c, nil
}

// withScheme is the URL of a server that may be given as host:port.
func withScheme(server string) string {
	if strings.Contains(server, "://") {
		return server
	}
	return "tcp://" + server
}

// ask is a context for one answer. It outlives a signal, so that what was
// begun can be finished.
func (a *app) ask(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
}

// follow is what the commands that stay connected dial with: they say what
// happens to the connection.
func (a *app) follow() []client.Option {
	return []client.Option{
		client.OnDisconnect(func(err error) { a.notice("%v; reconnecting", err) }),
		client.OnReconnect(func(client.Renewal) { a.notice("reconnected") }),
		client.OnError(func(e *client.Error) { a.notice("%v", e) }),
		client.OnGap(a.tellGap), client.OnRevoked(a.standing.revoked(a)),
	}
}

// stay waits for a signal (nil), for done (nil), for the end of the connection
// or of the output, and drains.
func (a *app) stay(ctx context.Context, c *client.Client, out *output, done <-chan struct{}) error {
	select {
	case <-ctx.Done():
	case <-done:
	case <-out.broken:
	case <-a.standing.none:
		return errors.Join(errSaid, out.close())
	case <-c.Closing():
		return errors.Join(c.Err(), out.close())
	}
	if !c.Connected() {
		return out.close() // Between two connections there is nothing to drain.
	}
	drained, cancel := a.ask(ctx)
	defer cancel()
	err := c.Drain(drained)
	if lost := out.close(); lost != nil {
		return lost
	}
	return err
}
