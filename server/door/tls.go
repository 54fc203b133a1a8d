package door

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mbserver/codec"
	"mbserver/server/broker"
	"mbserver/server/metrics"
	"mbserver/server/origin"
	"mbserver/server/secure"
)

// TLS handshakes.
//
// Purpose. The public-key part of a handshake takes up to a millisecond of a processor, which a
// loop does not have; and who is slow, or sends nothing, must not keep others from theirs.
//
// Outline. The loop reads the first flight, and nothing is begun before that is whole. Then a step
// of the handshake is made beside the loops (steps.go), when it is its turn; meanwhile the socket
// is not watched. A step ends when more has to arrive, and never waits for that. Its end is posted
// back to the loop (stepped), which writes what there is to answer and watches the socket again.
//
// Invariants. All of the socket's I/O is the loop's. The handshake belongs to the step that runs,
// else to the loop. A visitor that has gone ends its handshake, or the step that runs does.

// securing is a visitor's TLS handshake. Owned by the loop, but for what a step has.
type securing struct {
	hello     secure.Hello
	handshake *secure.Handshake // nil before the first flight has come, and when it is done
	step      *step             // runs, or waits for that; nil: none does
}

// chargeTLS is what v's handshake, or its session, makes the node hold, in bytes.
func (v *visitor) chargeTLS() int {
	switch {
	case v.session != nil:
		return int(v.session.Cost()) + v.session.Held()
	case v.tls.handshake != nil:
		return handshakeCharge + fedCharge*v.tls.handshake.Fed()
	}
	return 0
}

// stopTLS ends the handshake: its visitor goes.
func (v *visitor) stopTLS() {
	s := &v.tls
	switch {
	case s.step != nil:
		v.gate.door.steps.cancel(s.step)
	case s.handshake != nil:
		s.handshake.Stop()
	}
	s.handshake, s.step = nil, nil
}

// readSecure takes what has arrived over TLS.
func (v *visitor) readSecure(buf []byte) {
	have := 0
	switch {
	case v.session != nil: // plaintext before, ciphertext behind
		have = len(buf) / 2
	case v.tls.handshake == nil:
		have = copy(buf, v.head)
	}
	n, err := unix.Read(v.fd, buf[have:min(have+visitRead, len(buf))])
	switch {
	case n > 0 && v.session != nil:
		v.openHead(buf[:copy(buf[:have], v.head):have], buf[have:have+n])
	case n > 0 && v.tls.handshake == nil:
		v.begin(buf[:have+n])
	case n > 0:
		if err := v.tls.handshake.Feed(buf[:n]); err != nil {
			v.failTLS(err)
			return
		}
		v.recharge()
		v.step()
	case err == nil:
		v.ended("it ended")
	case err != unix.EAGAIN && err != unix.EINTR:
		v.ended(err.Error())
	}
}

// begin begins a handshake when the first flight is whole.
func (v *visitor) begin(flight []byte) {
	whole, err := v.tls.hello.Complete(flight)
	switch {
	case err != nil:
		v.failTLS(err)
	case !whole:
		v.keep(flight)
	case v.refusal != "" && v.gate.door.steps.busy():
		// It cannot be told without a handshake, and would take its time from others'.
		v.failure = metrics.TLSGaveWay
		v.end()
	default:
		v.tls.handshake = v.gate.door.certificates.Begin(v.transport.WebSocket())
		_ = v.tls.handshake.Feed(flight) // it is shorter than what a handshake may have
		v.head = nil
		v.recharge()
		v.step()
	}
}

// step goes on with the handshake beside the loop.
func (v *visitor) step() {
	h := v.tls.handshake
	v.tls.step = &step{
		handshake: h, from: origin.Network(v.remote.Addr()),
		post: func(done bool, err error) bool {
			return v.gate.room.Do(func() { v.stepped(h, done, err) })
		},
	}
	v.gate.room.Forget(v.fd) // what arrives meanwhile waits
	v.gate.door.steps.start(v.tls.step)
}

// stepped goes on after a step.
func (v *visitor) stepped(h *secure.Handshake, done bool, err error) {
	defer v.gate.door.recovered(v.end)
	if v.gone {
		h.Stop()
		return
	}
	v.tls.step = nil
	if !v.watchAgain() {
		return
	}
	if answer := h.Answer(); len(answer) > 0 {
		// The socket is new and takes it whole, or its peer is gone.
		if n, bad := unix.Write(v.fd, answer); n < len(answer) && err == nil {
			err = errors.Join(errUnread, bad)
		}
	}
	switch {
	case err != nil:
		v.failTLS(err)
	case done:
		v.secured(h)
	}
}

// secured goes on after a handshake that is done.
func (v *visitor) secured(h *secure.Handshake) {
	v.gate.door.broker.TLS.Done(h.Resumed())
	v.session, v.tls.handshake = h.Session(), nil
	v.recharge()
	switch {
	case !v.transport.WebSocket():
		v.prove(nil, &broker.Arrival{})
	case v.session.Behind():
		v.openHead(nil, nil)
	}
}

var errUnread = errors.New("it does not read")

// openHead goes on with the HTTP handshake, of which head has come, and more in records.
func (v *visitor) openHead(head, records []byte) {
	known := len(head)
	head, err := v.session.Open(head, records)
	if answer := v.session.Answer(); len(answer) > 0 {
		_, _ = unix.Write(v.fd, answer) // a full socket is that of a peer that is gone
	}
	if len(head) > known {
		v.ask(head)
	}
	if err != nil && !v.gone && v.left == 0 {
		v.fail(err.Error())
	}
}

// failTLS ends a handshake that has failed; its alert was written. Who speaks HTTP is told so.
func (v *visitor) failTLS(err error) {
	v.failure = failureOf(err)
	v.failed(err.Error())
	var words []byte
	if err == secure.ErrNotTLS && v.transport.WebSocket() {
		words = codec.AppendHTTPError(nil, 400, codec.AppendError(nil, codec.MalformedMessage,
			"TLS is spoken here: use wss or https", time.Now().UnixMilli()))
	}
	v.stopTLS()
	v.say(words)
}

// failureOf is what a failed handshake counts as.
func failureOf(err error) metrics.TLSFailure {
	var header tls.RecordHeaderError
	var unverified *tls.CertificateVerificationError
	var remote *net.OpError
	text := err.Error()
	switch {
	case err == secure.ErrNotTLS, err == secure.ErrTooLong, errors.As(err, &header):
		return metrics.TLSForeign
	case errors.As(err, &remote) && remote.Op == "remote error": // an alert of the client
		return metrics.TLSRefused
	case errors.As(err, &unverified), strings.Contains(text, "certificate"):
		return metrics.TLSCertificate
	case errors.Is(err, io.EOF), errors.Is(err, errUnread):
		return metrics.TLSEnded
	case strings.Contains(text, "support"): // "unsupported versions", "no cipher suite supported"
		return metrics.TLSDisagreed
	}
	return metrics.TLSOther
}

// failsTLS says that if v ends now it has not come through its TLS handshake.
func (v *visitor) failsTLS() bool {
	return v.begun && v.transport.Secure() && v.session == nil
}

// noteTLS counts a TLS handshake that has come to nothing, of a visitor that stops asking.
func (v *visitor) noteTLS() {
	if v.failsTLS() {
		v.gate.door.broker.TLS.Fail(v.failure)
	}
}

// sealed is what is written to an arrival: over TLS in records, with the end of the stream, or
// nothing before its handshake is done.
func (a *arrival) sealed(words []byte) []byte {
	switch {
	case !a.transport.Secure():
		return words
	case a.session == nil:
		return nil
	}
	records, err := a.session.Seal(nil, words)
	if err != nil {
		return nil
	}
	return a.session.Finish(records)
}
