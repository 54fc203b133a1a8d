package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/spf13/pflag"

	"mbserver/cmd/mb/observe"
)

// exporter is the node's admin listener, which tells some numbers that the protocol does not.
type exporter struct {
	given   string // what --admin says
	address string // of the one that is asked; empty: none
	timeout time.Duration
}

// Values of --admin that are no address.
const (
	adminAuto = "auto"
	adminOff  = "off"
)

// adminDefault is where the admin listener is unless the node's configuration says otherwise.
const adminDefault = "127.0.0.1:3002"

func (e *exporter) register(f *pflag.FlagSet) {
	f.StringVar(&e.given, "admin", environment("MB_ADMIN", adminAuto),
		"`HOST:PORT` of the node's admin listener, or off; auto: of a node on this machine at "+
			adminDefault+", when that is the same node's (environment: MB_ADMIN)")
}

// find decides which admin listener is asked. One that the user named must answer.
func (e *exporter) find(ctx context.Context, a *app, v *visit) error {
	e.timeout = a.timeout
	address := e.given
	switch {
	case address == adminOff:
		return nil
	case address == adminAuto:
		u, err := url.Parse(a.address())
		if err != nil || !loopback(u.Hostname()) {
			return nil
		}
		address = adminDefault
	}
	asked, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	told, err := observe.ReadExport(asked, address)
	if err == nil && told.NodeID != v.client.NodeID() {
		err = fmt.Errorf("the admin listener at %s is another node's (%s)", address, told.NodeID)
	}
	switch {
	case err == nil:
		e.address = address
	case e.given == adminAuto:
		err = nil
	}
	return err
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// sample asks the node, and its admin listener if there is one. Without that there are only some
// numbers less.
func (e *exporter) sample(
	ctx context.Context, v *visit, subscriptions bool,
) (*observe.Sample, error) {
	s, err := v.Sample(ctx, subscriptions)
	if err != nil || e.address == "" {
		return s, err
	}
	asked, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	// Of the same node still: it may have been started anew.
	if told, err := observe.ReadExport(asked, e.address); err == nil && told.NodeID == s.NodeID {
		s.Exported = told.Values
	}
	return s, nil
}
