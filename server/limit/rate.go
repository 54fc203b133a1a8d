package limit

// Bounds on rates, in messages per second.
const (
	// exactMax is the highest rate for which every whole number is kept exactly.
	exactMax = 10_000_000
	// rateMax is the highest rate; higher ones are cut to it.
	rateMax = 1_000_000_000
)

// burstMs is the burst of every bucket: what the rate gives in this time.
const burstMs = 1000

// Rate is a number of messages per second, prepared for buckets. The zero value is no limit.
// Immutable; any goroutine.
type Rate struct {
	// perMs is the units of bucket time in a millisecond, at most 10^7: times up to 2^39 ms fit in
	// 63 bits.
	perMs   int64
	message int64 // units between two messages: 1000 * perMs / rate, always whole; 0 = no limit
}

// PerSecond returns the rate of n messages per second, 1 … 1,000,000,000; n <= 0 is no limit.
// Rates up to 10,000,000 are exact, higher ones are rounded up to a multiple of 1000.
func PerSecond(n int) Rate {
	if n <= 0 {
		return Rate{}
	}
	perSecond := min(int64(n), rateMax)
	if perSecond > exactMax {
		perSecond = (perSecond + 999) / 1000 * 1000
	}
	divisor := gcd(perSecond, 1000)
	return Rate{perMs: perSecond / divisor, message: 1000 / divisor}
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Limit returns the messages per second, which are also the burst; 0 is no limit.
func (r Rate) Limit() int {
	if r.Off() {
		return 0
	}
	return int(r.perMs * 1000 / r.message)
}

// Off tells whether there is no limit.
func (r Rate) Off() bool { return r.message == 0 }

// pass returns a bucket's time after one more message at nowMs, and by how many units that is more
// than a burst ahead; the message passes when it is not. Off rates have no such time.
func (r Rate) pass(due, nowMs int64) (next, over int64) {
	next = r.after(due, nowMs, 1)
	return next, next - (nowMs+burstMs)*r.perMs
}

// full tells whether a bucket with this time misses nothing at nowMs.
func (r Rate) full(due, nowMs int64) bool { return due <= nowMs*r.perMs }

// wait returns the milliseconds, rounded up, in which over > 0 units pass.
func (r Rate) wait(over int64) int64 { return (over + r.perMs - 1) / r.perMs }

// room returns how many messages a bucket with this time lets pass at nowMs before the next one has
// to wait.
func (r Rate) room(due, nowMs int64) int64 {
	return max(0, ((nowMs+burstMs)*r.perMs-max(due, nowMs*r.perMs))/r.message)
}

// after returns a bucket's time after n more messages at nowMs, whether they may pass or not.
func (r Rate) after(due, nowMs, n int64) int64 { return max(due, nowMs*r.perMs) + n*r.message }
