//go:build !linux

package raw

import (
	"context"
	"errors"
)

// Hub exists on Linux only.
type Hub struct{}

// Listen fails.
func Listen(int) (*Hub, error) { return nil, errors.New("raw: Linux only") }

// Addr is empty.
func (*Hub) Addr() string { return "" }

// Serve fails.
func (*Hub) Serve(context.Context) error { return errors.New("raw: Linux only") }
