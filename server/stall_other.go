//go:build unix && !linux

package server

import "time"

// stallWatcher looks after sockets that took less than there was to write. Where there is no epoll it has their loops try
// again after a while: enough for development.
type stallWatcher struct{}

// stallRetry is how long a stalled socket is left alone.
const stallRetry = 5 * time.Millisecond

func newStallWatcher(*Node) (*stallWatcher, error) { return &stallWatcher{}, nil }

func (w *stallWatcher) watch(_ int, s *service, _ bool) {
	time.AfterFunc(stallRetry, func() {
		s.loop.post(writable(s.slot, s.gen))
	})
}

func (w *stallWatcher) close() {}
