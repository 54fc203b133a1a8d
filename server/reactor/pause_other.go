//go:build unix && !linux

package reactor

import "errors"

func (s *socket) PauseReading(bool) {}

func (s *socket) Unacked() int { return 0 }

// findEpoll fails: a single socket cannot be left unread here.
func findEpoll(int) (int, error) { return 0, errors.New("there is no epoll") }
