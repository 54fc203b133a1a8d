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
// A message over any limit consumes from none. The loop asks its own buckets first, which changes
// nothing, then takes from the shared ones, then from its own; nothing can come between on the
// loop, so the last step does not fail:
//
//	if wait, ok := service.Check(perService, now); !ok {
//		return wait
//	}
//	if wait, ok := topics.Take(&route.bucket, name, now); !ok {
//		return wait
//	}
//	if wait, ok := total.Take(perNode, now); !ok {
//		route.bucket.Give(topics.Rate())
//		return wait
//	}
//	service.Take(perService, now)
//
// A Local must not occur twice in that list. Between a Take and its Give another loop may be
// refused for the message in hand: limits err on that side.
package limit
