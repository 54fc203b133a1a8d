//go:build unix && !linux

package server

// pauseSupported says whether the node can stop reading a single socket here.
const pauseSupported = false

func (s *gnetSocket) pauseReading(bool) {}
