package reactor

import "github.com/panjf2000/gnet/v2/pkg/netpoll"

// over says that a descriptor has ended and that no read would tell so first: that is how one
// reports its end which is not read (PauseReading).
func over(ev netpoll.IOEvent) bool { return ev&netpoll.ReadEvents == 0 }
