package admin

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"mbserver/server/event"
	"mbserver/server/permit"
	"mbserver/server/trouble"
)

// closedDesk knows nobody.
type closedDesk struct{}

func (closedDesk) Anonymous() (*permit.Rules, bool) { return permit.None, false }
func (closedDesk) Identify(string, netip.Addr) (
	string, func() (*permit.Rules, bool), time.Duration, error,
) {
	return "", nil, 0, errors.New("invalid")
}

// sound is a node with which nothing is wrong, and that remembers nobody.
type sound struct{}

func (sound) Troubles() trouble.Report { return trouble.Report{} }
func (sound) Story(context.Context, string) (*event.Story, error) {
	return nil, errors.New("nobody")
}
