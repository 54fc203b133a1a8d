package server

type logStream struct{}

func (n *Node) startLogStream()                  {}
func (n *Node) stopLogStream()                   {}
func (n *Node) dropLogFilter(*service)           {}
func (s *systemCall) subscribeLog() *callError   { return s.success() }
func (s *systemCall) unsubscribeLog() *callError { return s.success() }
