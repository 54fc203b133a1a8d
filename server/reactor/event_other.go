//go:build unix && !linux

package reactor

import "github.com/panjf2000/gnet/v2/pkg/netpoll"

// over is never so: kqueue reports an end as something to read.
func over(netpoll.IOEvent) bool { return false }
