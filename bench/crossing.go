//go:build linux

package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/bench/proc"
)

// link is a sender and one of its receivers.
type link struct{ from, to *conn }

func links(streams ...*stream) (all []link) {
	for _, s := range streams {
		for _, p := range s.publishers {
			for _, c := range s.subscribers {
				all = append(all, link{p, c})
			}
		}
	}
	return all
}

// crossing keeps, of a node with several loops, how many links in a hundred lead from one loop to
// another. It is counted, not believed: a node may come to place its connections otherwise.
func (t *try) crossing(all []link) error {
	if loopsOf(t.into.Target) < 2 || t.server.pid == 0 {
		return nil
	}
	deadline := time.Now().Add(patience)
	for {
		watchers, err := proc.Watchers(t.server.pid)
		if err != nil {
			return fmt.Errorf("loops of the connections: %w", err)
		}
		crossed, settled, err := crossed(all, watchers)
		if err != nil {
			return err
		}
		if settled {
			t.figure(metricCrosses, "%", true, 100*float64(crossed)/float64(len(all)))
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("connections are on no loop or several after %v", patience)
		}
		time.Sleep(time.Millisecond) // Between two looks: the server has the other core.
	}
}

// crossed counts the links whose ends have different watchers. Until every end has one, all is not
// settled: a connection changes hands after its handshake.
func crossed(all []link, watchers map[uint16][]int) (n int, settled bool, err error) {
	for _, l := range all {
		from, err := localPort(l.from)
		if err != nil {
			return 0, false, err
		}
		to, err := localPort(l.to)
		if err != nil {
			return 0, false, err
		}
		if len(watchers[from]) != 1 || len(watchers[to]) != 1 {
			return 0, false, nil
		}
		if watchers[from][0] != watchers[to][0] {
			n++
		}
	}
	return n, true, nil
}

func localPort(c *conn) (uint16, error) {
	name, err := unix.Getsockname(c.fd)
	if err != nil {
		return 0, fmt.Errorf("a connection's port: %w", err)
	}
	a, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("a connection of %T", name)
	}
	return uint16(a.Port), nil
}
