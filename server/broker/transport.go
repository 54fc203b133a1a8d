package broker

import (
	"mbserver/ringbuf"
	"mbserver/server/metrics"
)

// Transport is how a connection came: what its bytes are wrapped in, and how its messages are
// framed.
type Transport uint8

// The transports of protocol §1.
const (
	TransportTCP Transport = iota
	TransportWS
	TransportTLS
	TransportWSS

	transports = iota
)

// transportTraits are what differs between transports.
var transportTraits = [transports]struct {
	name      string // as system.service.list, the log and metrics show it
	webSocket bool
	level     int // what counts its connections
}{
	TransportTCP: {"tcp", false, metrics.OpenTCP},
	TransportWS:  {"ws", true, metrics.OpenWS},
	TransportTLS: {"tls", false, metrics.OpenTLS},
	TransportWSS: {"wss", true, metrics.OpenWSS},
}

// WebSocket says whether messages are WebSocket ones, and a handshake comes before them.
func (t Transport) WebSocket() bool { return transportTraits[t].webSocket }

// Secure says whether the bytes are TLS records.
func (t Transport) Secure() bool { return t == TransportTLS || t == TransportWSS }

// String is the transport's name in the contract: tcp, ws, tls or wss.
func (t Transport) String() string { return transportTraits[t].name }

// level is what counts its connections.
func (t Transport) level() int { return transportTraits[t].level }

// form returns how the messages of a transport are encoded; deflate says that permessage-deflate is
// agreed.
func (t Transport) form(deflate bool) wireForm {
	switch {
	case !t.WebSocket():
		return formTCP
	case deflate:
		return formDeflate
	}
	return formWS
}

// wireForm is how a message is encoded for those that get it. What is fanned out is encoded once
// for each form that somebody takes.
type wireForm uint8

const (
	formTCP wireForm = iota
	formWS
	formDeflate // WebSocket whose messages are compressed where that makes them smaller

	forms = iota
)

// plain is the form that messages take which are not compressed.
func (f wireForm) plain() wireForm { return min(f, formWS) }

// Which of a turn's frames a message goes to: for each form there are those of what is fanned out,
// and for each plain form those of what goes to a single connection, so that acknowledgements do
// not break a burst's run.
func (f wireForm) fanFrames() int    { return int(f) * 2 }
func (f wireForm) directFrames() int { return int(f.plain())*2 + 1 }

// A turn has frames for every form.
var _ [ringbuf.FramesCount - (2*forms - 1)]struct{}
