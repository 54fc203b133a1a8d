package server

// transport is how a connection's messages are framed.
type transport uint8

const (
	transportTCP transport = iota
	transportWS
)

func (t transport) String() string {
	if t == transportWS {
		return "ws"
	}
	return "tcp"
}

// The turn's logs: per transport one for what is fanned out and one for what goes to a single connection, so that
// acknowledgements do not break a burst's run.
func (t transport) fanLog() int    { return int(t) * 2 }
func (t transport) directLog() int { return int(t)*2 + 1 }
