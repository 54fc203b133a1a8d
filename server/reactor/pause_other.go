//go:build unix && !linux

package reactor

// CanPause says whether a single socket can be left unread here.
const CanPause = false

func (s *socket) PauseReading(bool) {}
