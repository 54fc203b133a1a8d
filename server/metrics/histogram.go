package metrics

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// What a loop measures.
const (
	TurnTime = iota
	FlushTime
	AnswerTime
	timesCount
)

// Bounds are the upper bounds of the buckets of every histogram, in seconds; one more bucket has
// no bound.
var Bounds = [...]float64{
	10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3,
	100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10,
}

const buckets = len(Bounds) + 1

// boundsNs are Bounds in ns; bucketFrom is, by how many bits a time in ns has, the first bucket
// that it may be in.
var boundsNs, bucketFrom = func() (ns [len(Bounds)]int64, from [65]uint8) {
	for i, b := range Bounds {
		ns[i] = int64(b*1e9 + 0.5)
	}
	for n := range from {
		least := uint64(1) << max(n-1, 0)
		for int(from[n]) < len(ns) && uint64(ns[from[n]]) < least {
			from[n]++
		}
	}
	return ns, from
}()

// Histogram counts times by their length. It takes no lock and shares nothing: a message costs a
// few instructions. Loop only.
type Histogram struct {
	counts  [buckets]uint64
	sum     uint64 // ns
	changed uint32 // bit n: bucket n was, since it was published
}

// Add counts n times of so many ns; a negative one is 0.
func (h *Histogram) Add(ns int64, n uint64) {
	ns = max(ns, 0)
	i := bucketFrom[bits.Len64(uint64(ns))]
	for int(i) < len(boundsNs) && ns > boundsNs[i] {
		i++
	}
	h.counts[i] += n
	h.changed |= 1 << i
	h.sum += uint64(ns) * n
}

// Times is all that a loop measures. Loop only.
type Times [timesCount]Histogram

// PublishedTimes is what the rest of the node sees of them.
type PublishedTimes [timesCount]struct {
	counts [buckets]atomic.Uint64 // written by the loop only
	sum    atomic.Uint64
}

// Publish makes the times visible. Loop only.
func (p *PublishedTimes) Publish(t *Times) {
	for i := range t {
		h, to := &t[i], &p[i]
		if h.changed == 0 {
			continue
		}
		for ; h.changed != 0; h.changed &= h.changed - 1 {
			b := bits.TrailingZeros32(h.changed)
			to.counts[b].Store(h.counts[b])
		}
		to.sum.Store(h.sum)
	}
}

// Total is the sum of all times of one kind. Any goroutine.
func (p *PublishedTimes) Total(kind int) time.Duration {
	return time.Duration(p[kind].sum.Load())
}

// TimesSample is the times of all loops at one moment.
type TimesSample [timesCount]struct {
	Counts [buckets]uint64 // by bucket, each for itself
	Sum    float64         // s
}

// Count is how many times of a kind there are.
func (s *TimesSample) Count(kind int) (n uint64) {
	for _, c := range s[kind].Counts {
		n += c
	}
	return n
}

// Quantile is the least of Bounds, in seconds, that at least a part q of the times of a kind keep:
// the last one too when some are longer; 0 when there are none.
func (s *TimesSample) Quantile(kind int, q float64) float64 {
	n := s.Count(kind)
	if n == 0 {
		return 0
	}
	up := uint64(0)
	for i, bound := range Bounds {
		if up += s[kind].Counts[i]; float64(up) >= q*float64(n) {
			return bound
		}
	}
	return Bounds[len(Bounds)-1]
}

// AddTo adds the times to those of other loops. Any goroutine.
func (p *PublishedTimes) AddTo(into *TimesSample) {
	for i := range p {
		for b := range p[i].counts {
			into[i].Counts[b] += p[i].counts[b].Load()
		}
		into[i].Sum += float64(p[i].sum.Load()) / 1e9
	}
}
