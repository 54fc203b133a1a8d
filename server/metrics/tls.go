package metrics

import (
	"sync/atomic"
	"time"
)

// TLSFailure is why a TLS handshake came to nothing.
type TLSFailure int

// The reasons, as /metrics has them.
const (
	TLSEnded       TLSFailure = iota // the client went away, or was cut at the end of the node
	TLSLate                          // connection.handshakeTimeout came
	TLSGaveWay                       // to newer ones (handshake_limit)
	TLSForeign                       // what came is no TLS, or too much
	TLSDisagreed                     // no version, cipher, curve or protocol in common
	TLSCertificate                   // the client's certificate is missing, or not to be trusted
	TLSRefused                       // the client does not want ours
	TLSOther                         // a fault in the protocol
	tlsFailures
)

var tlsFailureNames = [tlsFailures]string{
	"ended", "late", "gave_way", "not_tls", "no_agreement", "client_certificate", "refused",
	"other",
}

// String returns the reason, as /metrics has it.
func (f TLSFailure) String() string { return tlsFailureNames[f] }

// TLSFailures are all reasons.
func TLSFailures() []string { return tlsFailureNames[:] }

// TLS counts what becomes of TLS handshakes, and knows when the certificate expires. Any goroutine.
type TLS struct {
	done, resumed atomic.Uint64
	failed        [tlsFailures]atomic.Uint64
	expiry        atomic.Int64 // Unix s; 0: there is no certificate
}

// Done counts a handshake that is complete.
func (t *TLS) Done(resumed bool) {
	t.done.Add(1)
	if resumed {
		t.resumed.Add(1)
	}
}

// Fail counts one that is not.
func (t *TLS) Fail(why TLSFailure) { t.failed[why].Add(1) }

// SetExpiry notes when the certificate that is shown expires.
func (t *TLS) SetExpiry(at time.Time) { t.expiry.Store(at.Unix()) }

// TLSSample is a TLS at one moment.
type TLSSample struct {
	Done, Resumed uint64
	Failed        [tlsFailures]uint64
	Expiry        int64 // Unix s; 0: there is no certificate
}

// Read returns the counts.
func (t *TLS) Read() (s TLSSample) {
	s.Done, s.Resumed, s.Expiry = t.done.Load(), t.resumed.Load(), t.expiry.Load()
	for i := range t.failed {
		s.Failed[i] = t.failed[i].Load()
	}
	return s
}
