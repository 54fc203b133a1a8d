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

// Which of a turn's frames a message goes to: per transport there are those of what is fanned out and those of what goes to
// a single connection, so that acknowledgements do not break a burst's run.
func (t transport) fanFrames() int    { return int(t) * 2 }
func (t transport) directFrames() int { return int(t)*2 + 1 }
