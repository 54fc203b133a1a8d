package broker

import "mbserver/server/metrics"

// Transport is how a connection's messages are framed.
type Transport uint8

const (
	TransportTCP Transport = iota
	TransportWS
)

// level is what counts its connections.
func (t Transport) level() int {
	if t == TransportWS {
		return metrics.OpenWS
	}
	return metrics.OpenTCP
}

func (t Transport) String() string {
	if t == TransportWS {
		return "ws"
	}
	return "tcp"
}

// Which of a turn's frames a message goes to: per transport there are those of what is fanned out
// and those of what goes to a single connection, so that acknowledgements do not break a burst's
// run.
func (t Transport) fanFrames() int    { return int(t) * 2 }
func (t Transport) directFrames() int { return int(t)*2 + 1 }
