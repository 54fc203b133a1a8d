//go:build unix && !linux

package reactor

import "time"

// stallWatcher looks after sockets that took less than there was to write. Where there is no epoll
// it has their loops try again after a while: enough for development.
type stallWatcher struct{}

// stallRetry is how long a stalled socket is left alone.
const stallRetry = 5 * time.Millisecond

func newStallWatcher(*Group) (*stallWatcher, error) { return &stallWatcher{}, nil }

func (w *stallWatcher) watch(s *socket, _ bool) error {
	slot, gen := s.conn.Handle()
	time.AfterFunc(stallRetry, func() { s.reactor.loop.Writable(slot, gen) })
	return nil
}

func (w *stallWatcher) close() {}
