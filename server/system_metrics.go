package server

func (s *systemCall) metrics() *callError { return s.success() }
