//go:build !linux

package bench

import (
	"context"
	"errors"
)

// Run measures on Linux only.
func Run(context.Context, Options) (*Results, error) {
	return nil, errors.New("the harness measures on Linux only; compare and report work everywhere")
}
