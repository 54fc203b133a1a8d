package main

import (
	"context"

	"mbserver/client"
	"mbserver/cmd/mb/observe"
)

// visit is a connection that asks the node about itself.
type visit struct {
	*observe.Node
	client *client.Client
}

// visit connects. The caller closes the client.
func (a *app) visit(ctx context.Context, opts ...client.Option) (*visit, error) {
	c, err := a.dial(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return &visit{observe.Of(c, a.timeout), c}, nil
}

// close ends the connection.
func (v *visit) close() { _ = v.client.Close() } // It never fails.

// address is the server as dial takes it.
func (a *app) address() string { return withScheme(a.server) }
