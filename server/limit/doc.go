// Package limit holds the rate limits of protocol §9: token buckets whose burst is one second's
// worth. Taking from one is a few integer instructions; there is no lock on that path, no timer and
// no allocation.
//
// A bucket is a single number, the "theoretical arrival time" of the generic cell rate algorithm
// (ITU-T I.371): when the next message would be due if all so far had come exactly at the rate. A
// message passes when that time is less than a second ahead, and moves it one interval on; a time
// in the past means a full bucket. The number counts in a unit of the Rate's own, in which a
// millisecond and the interval between two messages are both whole, so nothing is ever rounded and
// no rate drifts.
//
// Times are milliseconds of a monotonic clock that began near zero: 0 … 2^39 (17 years). A bucket
// is always used with the same Rate. Loops whose clocks differ by a few milliseconds may share a
// Bucket: the one that lags is refused a little early, and none passes more than the rate allows by
// the clock that leads.
//
// # Several limits on one message
//
// A message over any limit consumes from none (gate.go, Admit). The connection's own buckets, the
// service's and the patterns', are asked first, which changes nothing. Then the shared ones are
// taken from, the topic's and the node's, and what the first gave is given back when the second
// refuses. The own ones are taken from last: nothing can come between on the loop, so that does not
// fail. Between a Take and its Give another loop may be refused for the message in hand: limits err
// on that side. Runs of like messages go by a credit (credit.go) and ask nobody.
package limit
